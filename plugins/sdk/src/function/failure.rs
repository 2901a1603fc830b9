//! Errors as a function's client and its code see them.

use std::io;

use serde::Serialize;

use crate::{ApiError, Header};

/// OpenAI's shape: four keys, always all of them.
#[derive(Serialize)]
struct ErrorBody<'a> {
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

impl ApiError {
    /// The error as OpenAI's clients expect it in a body: `{"error":{"message":…,"type":…,"param":…,"code":…}}`.
    pub fn to_json(&self) -> String {
        let error = ErrorObject {
            message: &self.message,
            r#type: &self.kind,
            param: self.param.as_deref(),
            code: self.code.as_deref(),
        };
        // Only a map whose keys are no strings cannot be written, and there is none here.
        serde_json::to_string(&ErrorBody { error }).unwrap_or_default()
    }
}

/// Status, headers and body of an error response. A status that is none of an error becomes 500.
pub(super) fn response(error: &ApiError) -> (u16, Vec<Header>, Vec<u8>) {
    let status = match error.status {
        400..=599 => error.status,
        _ => 500,
    };
    let body = error.to_json().into_bytes();
    let mut headers = vec![
        Header::new("content-type", "application/json"),
        Header::new("content-length", body.len().to_string()),
    ];
    if let Some(wait) = error.retry_after_ms {
        // The header counts in seconds; too late is better than in vain.
        headers.push(Header::new("retry-after", wait.div_ceil(1000).to_string()));
    }
    (status, headers, body)
}

pub(super) fn no_answer() -> ApiError {
    ApiError::server(
        "the function ended without an answer; its `handle` has to call `send` or `start`",
    )
}

/// For functions whose reading or writing failed, which have nothing better to say.
impl From<io::Error> for ApiError {
    fn from(error: io::Error) -> ApiError {
        ApiError::server(format!("the exchange with the client failed: {error}"))
    }
}
