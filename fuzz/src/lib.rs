//! What several targets do alike: ask the router as the host would, and read its refusals as a client would.

pub mod parts;
pub mod response;
pub mod script;
pub mod stream;

use openai_router::{Answer, OpenAi};
use plugin_sdk::{ModelCard, Outcome, Request, Response, Router, ServerInfo, Task, mock};
use serde_json::Value;

/// The model that the router is told of.
pub const MODEL: &str = "m";

/// A request's way through the router: what it is to run, and who encodes the answer, or what it is answered at once.
pub fn send(path: &str, body: &[u8], settings: &str) -> Result<(Task, Answer), Response> {
    mock::set_config(settings);
    let request = Request {
        method: "POST".to_owned(),
        path: path.to_owned(),
        query: None,
        headers: Vec::new(),
        body: body.to_owned(),
    };
    let server = ServerInfo {
        request_id: "r".to_owned(),
        now: 1_800_000_000,
        models: vec![ModelCard {
            id: MODEL.to_owned(),
            created: 1_700_000_000,
            max_model_len: 4096,
            root: MODEL.to_owned(),
            embedding_len: Some(8),
        }],
    };
    match OpenAi::parse(request, server) {
        Outcome::Run(task, answer) => Ok((task, answer)),
        Outcome::Respond(response) => Err(response),
    }
}

/// The paths that take a body.
pub fn post_paths() -> Vec<String> {
    let routes = OpenAi::routes().into_iter();
    let post = routes.filter(|route| route.method == "POST");
    post.map(|route| route.path).collect()
}

/// Panics unless the text is OpenAI's error object: its four keys and no other, with a message and a type.
pub fn assert_error_object(body: &[u8]) {
    let body: Value = serde_json::from_slice(body).expect("an error is JSON");
    let error = body["error"].as_object().expect("an error is an object");
    let is_word = |key: &str| error[key].as_str().is_some_and(|text| !text.is_empty());
    let is_text_or_null = |key: &str| error[key].is_null() || error[key].is_string();
    assert_eq!(
        (body.as_object().map(|all| all.len()), error.len()),
        (Some(1), 4),
        "{body}"
    );
    assert!(is_word("message") && is_word("type"), "{body}");
    assert!(
        is_text_or_null("param") && is_text_or_null("code"),
        "{body}"
    );
}
