//! Errors in Anthropic's shape.

use std::borrow::Cow;

use plugin_sdk::{ApiError, Response};
use serde::Serialize;

use crate::answer::{json, request_id_header};

/// `{"type":"error","error":{…},"request_id":…}`
#[derive(Serialize)]
pub(crate) struct ErrorBody<'a> {
    r#type: &'static str,
    error: ErrorObject<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    r#type: &'static str,
    message: Cow<'a, str>,
}

impl<'a> ErrorBody<'a> {
    pub(crate) fn new(error: &'a ApiError, request_id: &'a str) -> Self {
        ErrorBody {
            r#type: "error",
            error: ErrorObject {
                r#type: kind(error.status),
                message: message(error),
            },
            request_id,
        }
    }
}

/// The error as a whole answer.
pub(crate) fn response(error: &ApiError, request_id: &str) -> Response {
    let mut response = Response::json(error.status, json(&ErrorBody::new(error, request_id)));
    response.headers.push(request_id_header(request_id));
    response
}

/// A body that no field can be read from.
pub(crate) fn malformed(message: impl Into<String>) -> ApiError {
    ApiError::new(400, "invalid_request_error", message)
}

/// What is known here and cannot be done, and why.
pub(crate) fn unsupported(param: &str, why: &str) -> ApiError {
    ApiError::invalid(param, format!("`{param}` is not supported: {why}."))
}

/// Anthropic's word for a status. It has one for each, so the kind that host, shaper or template gave does not matter.
fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// The message, and the field at fault as this protocol calls it: the error object has no other place for that.
fn message(error: &ApiError) -> Cow<'_, str> {
    let param = match error.param.as_deref() {
        // The template speaks of a field that this protocol has no name for.
        Some("continue_final_message") => {
            return Cow::Borrowed(
                "`messages` ends with the assistant, and this model's chat template does not let that message be continued as it is: let the conversation end with the user, or make the last message a shorter plain text",
            );
        }
        Some("constraint") => "output_config.format",
        Some("stop") => "stop_sequences",
        Some(param) => param,
        None => return Cow::Borrowed(&error.message),
    };
    match error.message.contains(param) {
        true => Cow::Borrowed(&error.message),
        false => Cow::Owned(format!("{param}: {}", error.message)),
    }
}
