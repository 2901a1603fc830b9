//! A function that would read secrets, from an interface whose name looks like one of the host's: it must be refused before
//! it runs.
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, reason = "generated bindings")]

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    inline: "
        package hostile:prober;

        world prober {
            import lm:plugin/secrets@0.1.0;
        }

        package lm:plugin@0.1.0 {
            interface secrets {
                read: func(name: string) -> string;
            }
        }
    ",
    generate_all,
});

struct Prober;

impl Guest for Prober {
    fn handle(_: IncomingRequest, _: ResponseOutparam) {
        panic!(
            "the host let a prober have a secret: {}",
            lm::plugin::secrets::read("api-key")
        );
    }
}

wasip2::http::proxy::export!(Prober);
