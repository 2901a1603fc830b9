//! Bodies that say they are no JSON.

use plugin_sdk::{ApiError, Request};

/// Longer names than this are cut where a message shows them, in characters.
const MAX_SHOWN_LEN: usize = 100;

/// Refuses the body of a `POST` with 415 if its `content-type` is neither `application/json` nor a type that ends in
/// `+json`. Without the header a body is taken for JSON.
pub(crate) fn check(request: &Request) -> Result<(), ApiError> {
    if request.method != "POST" {
        return Ok(());
    }
    let header = request
        .headers
        .iter()
        .find(|header| header.name == "content-type");
    let Some(header) = header else {
        return Ok(());
    };
    let value = String::from_utf8_lossy(&header.value);
    if is_json(&value) {
        return Ok(());
    }
    let shown: String = value.chars().take(MAX_SHOWN_LEN).collect();
    let message = format!(
        "The body's `content-type` is `{shown}`; send JSON, with the header `content-type: application/json`."
    );
    Err(ApiError::new(415, "invalid_request_error", message).with_code("unsupported_content_type"))
}

/// Whether this is a media type of JSON, whatever its parameters (`charset`) are.
fn is_json(value: &str) -> bool {
    let essence = value.split(';').next().unwrap_or_default().trim();
    let Some((kind, subtype)) = essence.split_once('/') else {
        return false;
    };
    let suffix = subtype.rsplit_once('+').map(|(_, suffix)| suffix);
    kind.eq_ignore_ascii_case("application") && subtype.eq_ignore_ascii_case("json")
        || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("json"))
}
