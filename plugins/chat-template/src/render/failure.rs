//! What a template's failure means to the client.

use std::error::Error as _;
use std::fmt;

use minijinja::{Error, ErrorKind};
use plugin_sdk::ApiError;

/// The conversation was refused by the template itself, with `raise_exception`.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) String);

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// The failure as the client is told of it. What hangs on the conversation is the client's fault, and what would fail for
/// every conversation is the server's.
pub(crate) fn explain(model: &str, error: &Error) -> ApiError {
    if let Some(refusal) = refusal(error) {
        return ApiError::invalid("messages", &refusal.0).with_code("chat_template_refused");
    }
    let place = error
        .line()
        .map(|line| format!(", line {line}"))
        .unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}"));
    let what = format!("{}{}", error.kind(), detail.unwrap_or_default());
    match error.kind() {
        ErrorKind::OutOfFuel => ApiError::invalid(
            "messages",
            format!("the chat template of `{model}` needs too much work for this conversation{place}; send fewer or shorter messages"),
        ),
        ErrorKind::SyntaxError
        | ErrorKind::BadEscape
        | ErrorKind::UnknownFilter
        | ErrorKind::UnknownTest
        | ErrorKind::UnknownFunction
        | ErrorKind::UnknownBlock
        | ErrorKind::TemplateNotFound
        | ErrorKind::BadInclude
        | ErrorKind::InvalidDelimiter => ApiError::server(format!(
            "the chat template of `{model}` cannot be used{place}: {what}; the operator has to mend the model's `chat_template`"
        ))
        .with_code("invalid_chat_template"),
        _ => ApiError::invalid(
            "messages",
            format!("the chat template of `{model}` cannot write this conversation{place}: {what}"),
        ),
    }
}

/// Errors of macros and blocks wrap the one that they come from.
fn refusal(error: &Error) -> Option<&Refusal> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(refusal) = error.downcast_ref() {
            return Some(refusal);
        }
        source = error.source();
    }
    None
}
