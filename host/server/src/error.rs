//! Failures as clients see them: a status and OpenAI's error object.
//!
//! Once a router has read a request, failures go through its own `reply.fail`. What is here serves the rest: requests that
//! no router answers, and routers that failed themselves.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use sandbox::{ApiError, Fault};

use crate::body::{Body, full};

/// A fault of the client in its field `param`.
pub(crate) fn invalid(param: &str, message: impl Into<String>) -> ApiError {
    ApiError {
        param: Some(param.into()),
        ..refusal(StatusCode::BAD_REQUEST, message)
    }
}

/// A refusal that no single field is to blame for.
pub(crate) fn refusal(status: StatusCode, message: impl Into<String>) -> ApiError {
    let kind = match status {
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    ApiError {
        status: status.as_u16(),
        kind: kind.into(),
        message: message.into(),
        param: None,
        code: None,
        retry_after_ms: None,
    }
}

/// Gives an error a word for programs.
pub(crate) fn coded(code: &str, error: ApiError) -> ApiError {
    ApiError {
        code: Some(code.into()),
        ..error
    }
}

/// OpenAI's error object; all four keys are always present.
pub(crate) fn object(error: &ApiError) -> Bytes {
    let object = serde_json::json!({"error": {
        "message": error.message, "type": error.kind, "param": error.param, "code": error.code,
    }});
    object.to_string().into()
}

/// The object as a data event, for a stream whose router can not say it, and the stream's end.
pub(crate) fn event(error: &ApiError) -> Bytes {
    [b"data: ", &object(error)[..], b"\n\ndata: [DONE]\n\n"]
        .concat()
        .into()
}

/// An error response with the host's own object.
pub(crate) fn response(error: &ApiError) -> Response<Body> {
    response_with_body(error, object(error))
}

/// An error response whose body a router wrote.
pub(crate) fn response_with_body(error: &ApiError, body: Bytes) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() =
        StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if error.status == StatusCode::UNAUTHORIZED.as_u16() {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(after) = error.retry_after_ms {
        // OpenAI's clients read the first, everyone else the second.
        headers.insert("retry-after-ms", after.into());
        headers.insert(header::RETRY_AFTER, after.div_ceil(1000).into());
    }
    if error.code.as_deref() == Some(PLUGIN_FAILED) {
        // A trap comes again with the same request: clients need not try.
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response
}

/// The code of an error that a plugin's own fault caused.
const PLUGIN_FAILED: &str = "plugin_failed";

/// The server is at its limit; the same request may well succeed in a moment.
pub(crate) fn overloaded(message: impl Into<String>) -> ApiError {
    ApiError {
        retry_after_ms: Some(1000),
        ..coded(
            "overloaded",
            refusal(StatusCode::TOO_MANY_REQUESTS, message),
        )
    }
}

/// What the client is told of a plugin's failure. The operator's log says more.
pub(crate) fn of_plugin(error: &sandbox::PluginError) -> ApiError {
    if matches!(error.fault, Fault::Overloaded(_)) {
        return overloaded(error.to_string());
    }
    tracing::error!(%error, "plugin failed");
    coded(
        PLUGIN_FAILED,
        refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    )
}
