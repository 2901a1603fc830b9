//! What operators and load balancers ask.

use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use crate::{
    app::App,
    body::{Body, full},
    metrics::{self, Exposition},
};

/// The paths that are answered here.
pub(crate) const PATHS: [&str; 3] = ["/health", "/ready", "/metrics"];

/// Answers `/health` (the process lives), `/ready` (it takes requests) and `/metrics`; `None` for anything else. None of
/// them asks for a key.
pub(crate) fn answer<B>(app: &App, request: &Request<B>) -> Option<Response<Body>> {
    if request.method() != Method::GET {
        return None;
    }
    match request.uri().path() {
        "/health" => Some(plain(StatusCode::OK, "alive\n".into())),
        "/ready" if app.is_draining() => Some(plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "shutting down\n".into(),
        )),
        "/ready" => Some(plain(StatusCode::OK, "ready\n".into())),
        "/metrics" => {
            let exposition = Exposition::asked_for(request.headers());
            let mut response = plain(StatusCode::OK, metrics::render(app, exposition));
            let kind = HeaderValue::from_static(exposition.content_type());
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, kind);
            headers.insert(header::VARY, HeaderValue::from_static("accept"));
            Some(response)
        }
        _ => None,
    }
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response
}
