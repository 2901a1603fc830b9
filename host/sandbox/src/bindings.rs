//! Rust types and calls made from the WIT package.
//!
//! The shared interfaces are bound once, and all worlds are mapped onto that one set of types: an
//! `InferenceRequest` that a router returned is passed to a shaper without conversion.

pub(crate) mod imports {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        inline: "
            package host:sandbox;
            world imports {
                import lm:plugin/types@0.1.0;
                import lm:plugin/log@0.1.0;
                import lm:plugin/config@0.1.0;
                import lm:plugin/clock@0.1.0;
                import lm:plugin/random@0.1.0;
                import lm:plugin/key-value@0.1.0;
            }
        ",
        imports: {
            "lm:plugin/random": trappable,
            // It writes to the disk.
            "lm:plugin/key-value": async,
        },
        additional_derives: [PartialEq],
    });
}

pub(crate) mod function {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        inline: "
            package host:sandbox;
            world function-imports {
                import lm:plugin/inference@0.1.0;
            }
        ",
        imports: { default: async | trappable },
        with: {
            "lm:plugin/types": crate::bindings::imports::lm::plugin::types,
            "lm:plugin/inference.generation": crate::function::Running,
        },
    });
}

pub(crate) mod router {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        world: "router",
        exports: { default: async },
        with: {
            "lm:plugin/types": crate::bindings::imports::lm::plugin::types,
            "lm:plugin/log": crate::bindings::imports::lm::plugin::log,
            "lm:plugin/config": crate::bindings::imports::lm::plugin::config,
        },
        additional_derives: [PartialEq],
    });
}

pub(crate) mod shaper {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        world: "shaper",
        exports: { default: async },
        with: {
            "lm:plugin/types": crate::bindings::imports::lm::plugin::types,
            "lm:plugin/log": crate::bindings::imports::lm::plugin::log,
            "lm:plugin/config": crate::bindings::imports::lm::plugin::config,
        },
        additional_derives: [PartialEq],
    });
}

pub(crate) mod template {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        world: "chat-template",
        exports: { default: async },
        with: {
            "lm:plugin/types": crate::bindings::imports::lm::plugin::types,
            "lm:plugin/log": crate::bindings::imports::lm::plugin::log,
            "lm:plugin/config": crate::bindings::imports::lm::plugin::config,
        },
        additional_derives: [PartialEq],
    });
}

pub(crate) use function::lm::plugin::inference;
pub(crate) use imports::lm::plugin::{clock, config, key_value, log, random, types};
pub(crate) use router::exports::lm::plugin::routing;
pub(crate) use shaper::exports::lm::plugin::shaping;
pub(crate) use template::exports::lm::plugin::templating;
