//! A request with a text in it, and what the plugin makes of it.

use pii_redaction::PiiRedaction;
use plugin_sdk::{ApiError, Caller, Conversation, InferenceRequest, Input, Message, Shaper, mock};

/// What the plugin makes of a request under this config.
pub(crate) fn shape(config: &str, request: InferenceRequest) -> Result<InferenceRequest, ApiError> {
    mock::set_config(config);
    let caller = Caller {
        request_id: "r-1".to_owned(),
        path: "/v1/chat/completions".to_owned(),
        key_name: None,
    };
    PiiRedaction::shape(request, caller)
}

pub(crate) fn refusal(config: &str, request: InferenceRequest) -> ApiError {
    shape(config, request).expect_err("the request must be refused")
}

pub(crate) fn prompt(text: &str) -> InferenceRequest {
    InferenceRequest::new("m", vec![Input::Text(text.to_owned())])
}

pub(crate) fn chat(messages: Vec<Message>) -> InferenceRequest {
    InferenceRequest::new("m", vec![Input::Chat(Conversation::new(messages))])
}

/// A plain text after redaction by the default settings.
pub(crate) fn redacted(text: &str) -> String {
    redacted_with("{}", text)
}

pub(crate) fn redacted_with(config: &str, text: &str) -> String {
    match shape(config, prompt(text)).unwrap().inputs.remove(0) {
        Input::Text(text) => text,
        other => panic!("a text became {other:?}"),
    }
}

/// The only conversation of a request after redaction.
pub(crate) fn conversation(request: InferenceRequest) -> Conversation {
    match shape("{}", request).unwrap().inputs.remove(0) {
        Input::Chat(conversation) => conversation,
        other => panic!("a conversation became {other:?}"),
    }
}
