//! Answers questions from documents that were given to it, and names its sources.
//!
//! For people who want to ask their own texts, and for authors who look for a function that uses the model and the key-value
//! store. `documents` keeps and lists what it was given, `passages` and `terms` cut texts into what can be found, `ranking` finds
//! it (BM25), `question` has the model answer, and `answer` is what the client reads. It knows its path by the tail alone, because
//! the operator chooses the route.

mod answer;
mod documents;
mod passages;
mod question;
mod ranking;
mod settings;
mod terms;

use plugin_sdk::function::{Function, Request, Responder};
use plugin_sdk::{ApiError, register};

/// The function.
pub struct Retrieval;

impl Function for Retrieval {
    fn handle(mut request: Request, response: Responder) -> Result<(), ApiError> {
        let path = request.path.clone();
        let mut segments = path.trim_end_matches('/').rsplit('/');
        let last = segments.next().unwrap_or_default();
        match (request.method.as_str(), last, segments.next()) {
            ("POST", "documents", _) => documents::add(&mut request, response),
            ("GET" | "HEAD", "documents", _) => documents::list(response),
            ("DELETE", id, Some("documents")) => documents::remove(id, response),
            ("POST", "ask", _) => question::ask(&mut request, response),
            (method, "documents", _) => Err(not_allowed(method, "documents", "GET and POST")),
            (method, "ask", _) => Err(not_allowed(method, "ask", "POST")),
            (method, _, Some("documents")) => Err(not_allowed(method, "documents/ID", "DELETE")),
            _ => Err(ApiError::not_found(format!(
                "there is nothing at `{path}`; there are `documents`, `documents/ID` and `ask` below this function's route"
            ))),
        }
    }
}

fn not_allowed(method: &str, place: &str, allowed: &str) -> ApiError {
    let message = format!("`{place}` knows {allowed}, not {method}");
    ApiError::new(405, "invalid_request_error", message)
}

register!(function: Retrieval);
