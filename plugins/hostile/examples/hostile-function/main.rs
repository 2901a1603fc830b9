//! A function that does what the last segment of its path says: one of [`hostile::misbehave`], or a word of the modules here.
//! Anything else, `hello` for one, is answered as an honest function would. On native targets it is empty: the SDK keeps a
//! function from half of this, so it speaks WASI's own interfaces.
#![cfg(target_arch = "wasm32")]

mod host;
mod model;
mod raw;
mod response;
mod store;

use plugin_sdk::function::{self, Function, Request, Responder};
use plugin_sdk::{ApiError, Header};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct HostileFunction;

/// What an order came to. The text tells the test what happened, where the instance is still there to tell it.
enum Outcome {
    /// The order is done: this is to be answered.
    Report(String),
    /// The order is none of the module that was asked.
    NotMine,
}

impl Guest for HostileFunction {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let word = path.rsplit('/').next().unwrap_or_default();
        hostile::misbehave(word);
        if let Some(answer) = raw::obey(word, &request, answer) {
            function::Exported::<Obedient>::handle(request, answer);
        }
    }
}

/// What can be done through the SDK.
struct Obedient;

impl Function for Obedient {
    fn handle(request: Request, response: Responder) -> Result<(), ApiError> {
        let path = request.path.clone();
        let word = path.rsplit('/').next().unwrap_or_default();
        let query = request.query.clone().unwrap_or_default();
        for outcome in [
            model::obey(word),
            store::obey(word),
            host::obey(word, &query),
        ] {
            if let Outcome::Report(text) = outcome {
                return response.send(200, vec![Header::new("content-type", "text/plain")], text);
            }
        }
        response::obey(word, request, response)
    }
}

wasip2::http::proxy::export!(HostileFunction);
