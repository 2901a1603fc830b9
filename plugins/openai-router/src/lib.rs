//! OpenAI's chat completions, responses, completions, embeddings and models, as a router plugin.
//!
//! For clients that speak OpenAI's protocol. Each endpoint that generates is the same four steps: `types` is the shape on
//! the wire, `validate` the rules by which a request is refused, `convert` the translation to an inference request, and
//! `whole` or `stream` turn the engine's events into bytes. It knows the protocol and the plugin contract, and nothing of
//! the engine: what only the engine can refuse is passed on.
//!
//! A response is the same, but that its answer is a list of items: `output` makes them of the engine's events, for whole
//! answers and streams alike.
//!
//! Settings: `finish` is `"separate"` (the finish reason comes in a chunk of its own) or `"merged"` (it rides on the last
//! text, where both are known at once). By default chat is separate and completions are merged, as clients expect.

mod answer;
mod body;
mod calls;
mod chat;
mod completions;
mod content_type;
mod embeddings;
mod error;
mod generation;
mod ids;
mod logprobs;
mod models;
mod prompts;
mod responses;
mod settings;
mod sse;
mod template;
mod tokenize;
mod tool_choice;

use plugin_sdk::{ApiError, Outcome, Request, Route, Router, ServerInfo};

pub use answer::Answer;

/// The router itself.
pub struct OpenAi;

plugin_sdk::register!(router: OpenAi);

impl Router for OpenAi {
    type Reply = Answer;

    fn routes() -> Vec<Route> {
        [
            ("POST", "/v1/chat/completions"),
            ("POST", "/v1/responses"),
            ("POST", "/v1/completions"),
            ("POST", "/v1/embeddings"),
            ("POST", "/tokenize"),
            ("POST", "/detokenize"),
            ("GET", "/v1/models"),
            ("GET", "/v1/models/*"),
        ]
        .map(|(method, path)| Route {
            method: method.to_owned(),
            path: path.to_owned(),
        })
        .into()
    }

    fn parse(request: Request, server: ServerInfo) -> Outcome<Answer> {
        dispatch(&request, &server)
            .unwrap_or_else(|error| Outcome::Respond(error::response(&error)))
    }
}

fn dispatch(request: &Request, server: &ServerInfo) -> Result<Outcome<Answer>, ApiError> {
    content_type::check(request)?;
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/v1/chat/completions") => {
            chat::parse(&request.body, server, plugin_sdk::config::read()?)
        }
        ("POST", "/v1/responses") => responses::parse(&request.body, server),
        ("POST", "/v1/completions") => {
            completions::parse(&request.body, server, plugin_sdk::config::read()?)
        }
        ("POST", "/v1/embeddings") => embeddings::parse(&request.body, server),
        ("POST", "/tokenize") => tokenize::parse(&request.body, server),
        ("POST", "/detokenize") => tokenize::parse_detokenize(&request.body, server),
        ("GET", "/v1/models") => Ok(Outcome::Respond(models::list(&server.models))),
        ("GET", path) if path.starts_with("/v1/models/") => {
            models::find(&server.models, &path["/v1/models/".len()..]).map(Outcome::Respond)
        }
        (method, path) => Err(ApiError::new(
            404,
            "invalid_request_error",
            format!("There is no {method} {path} here."),
        )),
    }
}
