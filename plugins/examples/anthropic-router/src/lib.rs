//! Anthropic's messages, as a router plugin.
//!
//! For clients that speak Anthropic's protocol, in the place of OpenAI's router. `messages` reads a request and puts it into
//! the engine's terms, `blocks` collects what the model writes, and `whole` or `stream` turn it into bytes. It knows the
//! protocol and the plugin contract, and nothing of the engine: what only the engine can refuse is passed on. It has no
//! settings and asks its host for nothing.

mod answer;
mod blocks;
mod body;
mod error;
mod messages;
mod sse;
mod stream;
mod whole;

use plugin_sdk::{ApiError, Outcome, Request, Route, Router, ServerInfo};

pub use answer::Answer;

/// The router itself.
pub struct Anthropic;

plugin_sdk::register!(router: Anthropic);

const MESSAGES: &str = "/v1/messages";

impl Router for Anthropic {
    type Reply = Answer;

    fn routes() -> Vec<Route> {
        vec![Route {
            method: "POST".to_owned(),
            path: MESSAGES.to_owned(),
        }]
    }

    fn parse(request: Request, server: ServerInfo) -> Outcome<Answer> {
        let outcome = match (request.method.as_str(), request.path.as_str()) {
            ("POST", MESSAGES) => messages::parse(&request.body, &server),
            (method, path) => Err(ApiError::not_found(format!(
                "There is no {method} {path} here; use POST {MESSAGES}."
            ))),
        };
        outcome
            .unwrap_or_else(|error| Outcome::Respond(error::response(&error, &server.request_id)))
    }
}
