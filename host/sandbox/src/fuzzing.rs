//! The checks of what guests return, for fuzz targets: they need no guest, and a server has no use for them alone.

use crate::{ApiError, Delta, Header, InferenceRequest, Limits, Response, Route, untrusted};

/// See [`InferenceRequest`]: fails with what is outside the contract's ranges.
pub fn request(request: InferenceRequest) -> Result<InferenceRequest, String> {
    untrusted::request(request)
}

/// Mends an error, whatever is in it.
pub fn api_error(error: ApiError) -> ApiError {
    untrusted::api_error(error)
}

/// Drops the host's own headers; fails with what is too much or no header.
pub fn headers(headers: Vec<Header>, limits: &Limits) -> Result<Vec<Header>, String> {
    untrusted::headers(headers, limits)
}

/// Checks status and headers; fails with what is wrong.
pub fn response(response: Response, limits: &Limits) -> Result<Response, String> {
    untrusted::response(response, limits)
}

/// Fails with the first path that cannot be served.
pub fn routes(routes: Vec<Route>) -> Result<Vec<Route>, String> {
    untrusted::routes(routes)
}

/// Checks deltas that follow `num_tool_calls` calls, and counts on; fails with the first that breaks the order of calls.
pub fn deltas(deltas: Vec<Delta>, num_tool_calls: &mut u32) -> Result<Vec<Delta>, String> {
    untrusted::deltas(deltas, num_tool_calls)
}
