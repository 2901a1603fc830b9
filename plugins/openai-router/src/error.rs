//! Errors in OpenAI's shape: four keys, always all of them.

use plugin_sdk::{ApiError, Response};
use serde::Serialize;

use crate::answer::json;

/// `{"error":{…}}`.
#[derive(Serialize)]
pub(crate) struct ErrorBody<'a> {
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

impl<'a> From<&'a ApiError> for ErrorBody<'a> {
    fn from(error: &'a ApiError) -> Self {
        ErrorBody {
            error: ErrorObject {
                message: &error.message,
                r#type: &error.kind,
                param: error.param.as_deref(),
                code: error.code.as_deref(),
            },
        }
    }
}

/// The error as a whole answer.
pub(crate) fn response(error: &ApiError) -> Response {
    Response::json(error.status, json(&ErrorBody::from(error)))
}

/// A body that no field can be read from.
pub(crate) fn malformed(message: impl Into<String>) -> ApiError {
    ApiError::new(400, "invalid_request_error", message)
}

/// A field that is known here, with a value that asks for what cannot be done.
pub(crate) fn unsupported(param: &str, instead: &str) -> ApiError {
    ApiError::invalid(
        param,
        format!("`{param}` is not supported with this value: {instead}."),
    )
    .with_code("unsupported_parameter")
}

/// The model asked for is not served: OpenAI's own words for `type` and `code`.
pub(crate) fn model_not_found(
    model: &str,
    served: impl Iterator<Item = impl AsRef<str>>,
) -> ApiError {
    // A body may be megabytes long, and any of it may stand in `model`.
    const MAX_SHOWN_LEN: usize = 100;
    let asked: String = model.chars().take(MAX_SHOWN_LEN).collect();
    let served: Vec<_> = served.map(|id| format!("`{}`", id.as_ref())).collect();
    let message = format!(
        "The model `{asked}` is not served here; available: {}.",
        served.join(", ")
    );
    ApiError::new(404, "invalid_request_error", message)
        .with_param("model")
        .with_code("model_not_found")
}
