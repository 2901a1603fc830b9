//! What wit-bindgen makes of `wit/v0.1`: the records and the imports once, then one module per role that shares them. Of the
//! imports a component keeps those that its code calls. A function's export is WASI's, whose bindings come as a crate.
//!
//! `pub_export_macro` matters for more than visibility: it keeps a world's exports out of this crate's own custom
//! sections and puts them where `register!` stands, so a plugin exports its own role and not all three.
#![allow(
    unsafe_code,
    unreachable_pub,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]

pub mod shared {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        inline: "
            package lm:sdk;
            world shared {
                import lm:plugin/types@0.1.0;
                import lm:plugin/log@0.1.0;
                import lm:plugin/config@0.1.0;
                import lm:plugin/clock@0.1.0;
                import lm:plugin/random@0.1.0;
                import lm:plugin/key-value@0.1.0;
                import lm:plugin/inference@0.1.0;
            }
        ",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
    });
}

pub mod router {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        world: "router",
        pub_export_macro: true,
        with: {
            "lm:plugin/types@0.1.0": crate::bindings::shared::lm::plugin::types,
            "lm:plugin/log@0.1.0": crate::bindings::shared::lm::plugin::log,
            "lm:plugin/config@0.1.0": crate::bindings::shared::lm::plugin::config,
        },
        // Not on every type: the outcome owns a resource, which cannot be compared.
        additional_type_attributes: {
            "lm:plugin/routing@0.1.0/route": [#[derive(PartialEq)]],
            "lm:plugin/routing@0.1.0/request": [#[derive(PartialEq)]],
            "lm:plugin/routing@0.1.0/model-card": [#[derive(PartialEq)]],
            "lm:plugin/routing@0.1.0/server-info": [#[derive(PartialEq)]],
            "lm:plugin/routing@0.1.0/response": [#[derive(PartialEq)]],
            "lm:plugin/routing@0.1.0/task": [#[derive(PartialEq)]],
        },
    });
}

pub mod shaper {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        world: "shaper",
        pub_export_macro: true,
        with: {
            "lm:plugin/types@0.1.0": crate::bindings::shared::lm::plugin::types,
            "lm:plugin/log@0.1.0": crate::bindings::shared::lm::plugin::log,
            "lm:plugin/config@0.1.0": crate::bindings::shared::lm::plugin::config,
        },
        additional_derives: [PartialEq],
    });
}

pub mod chat_template {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        world: "chat-template",
        pub_export_macro: true,
        with: {
            "lm:plugin/types@0.1.0": crate::bindings::shared::lm::plugin::types,
            "lm:plugin/log@0.1.0": crate::bindings::shared::lm::plugin::log,
            "lm:plugin/config@0.1.0": crate::bindings::shared::lm::plugin::config,
        },
        additional_type_attributes: {
            "lm:plugin/templating@0.1.0/model-template": [#[derive(PartialEq)]],
            "lm:plugin/templating@0.1.0/prompt": [#[derive(PartialEq)]],
        },
    });
}

#[cfg(target_arch = "wasm32")]
pub mod function {
    pub use wasip2::{http::proxy::export, *};
}
