//! The path of a request to a function.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use deploy::Access;
use http::{Method, Request, Response, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sandbox::{ApiError, Caller, FunctionBody, FunctionFailed, Visit};
use tracing::Span;

use super::{Found, model::Model};
use crate::{
    app::App,
    auth::SECRET_HEADERS,
    body::Body,
    error::{self, refusal},
    metrics::FunctionOutcome,
    pipeline::Arrival,
    trace,
};

/// Lets the request in and has a fresh instance answer it.
pub(crate) async fn answer(
    app: &Arc<App>,
    found: Found,
    mut request: Request<Incoming>,
    arrival: &mut Arrival,
) -> Result<Response<Body>, ApiError> {
    if found.access == Access::Key {
        arrival.client = app.settings.api_keys.check(request.headers())?;
        if let Some(client) = &arrival.client {
            client.admit_request()?;
        }
        // The server's key is not the function's business, nor are cookies of others.
        for secret in &SECRET_HEADERS {
            request.headers_mut().remove(secret);
        }
    }
    if request.uri().authority().is_none() && !request.headers().contains_key(header::HOST) {
        let message = "a request to a function must name its host: send a `host` header";
        return Err(refusal(StatusCode::BAD_REQUEST, message));
    }
    let wants_body = request.method() != Method::HEAD;
    let mut watch = Watch::new(app, &found, &arrival.span);
    let place = found.gate.enter(&found.name).await;
    let place = place.inspect_err(|_| watch.outcome = FunctionOutcome::Rejected)?;
    // From here on, a request that leaves early was given up by its client.
    watch.outcome = FunctionOutcome::Abandoned;
    let function = found.function.map_err(|why| {
        watch.outcome = FunctionOutcome::Failed;
        let message = format!("function `{}` cannot serve: {why}", found.name);
        refusal(StatusCode::SERVICE_UNAVAILABLE, message)
    })?;
    let visit = Visit {
        caller: Caller {
            request_id: arrival.request_id.clone(),
            path: found.route,
            key_name: arrival.key_name().map(str::to_owned),
        },
        model: Arc::new(Model {
            app: app.clone(),
            arrival: arrival.clone(),
        }),
        place: Box::new(place),
    };
    let mut response = function.handle(request, visit).await.map_err(|failed| {
        watch.outcome = FunctionOutcome::Failed;
        error::of_plugin(&failed)
    })?;
    // It would let one function's page intercept those of all others, which share its origin.
    response.headers_mut().remove("service-worker-allowed");
    if !wants_body || response.body().is_end_stream() {
        watch.outcome = FunctionOutcome::Answered;
    }
    Ok(response.map(|body| Watched { body, watch }.map_err(Into::into).boxed_unsync()))
}

/// Counts one request when it is over, however it ends.
struct Watch {
    app: Arc<App>,
    function: String,
    version: u32,
    began: Instant,
    outcome: FunctionOutcome,
    _span: Span,
}

impl Watch {
    fn new(app: &Arc<App>, found: &Found, request: &Span) -> Self {
        Self {
            app: app.clone(),
            function: found.name.clone(),
            version: found.version,
            began: Instant::now(),
            outcome: FunctionOutcome::Rejected,
            _span: trace::handle(request, &found.name, found.version),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let metrics = &self.app.metrics;
        metrics.function_answered(&self.function, self.version, self.outcome, took);
    }
}

/// A function's response on its way out.
struct Watched {
    body: FunctionBody,
    watch: Watch,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = FunctionFailed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FunctionFailed>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            Some(Ok(_)) | None => self.watch.outcome = FunctionOutcome::Answered,
            Some(Err(error)) => {
                self.watch.outcome = FunctionOutcome::Failed;
                tracing::error!(function = self.watch.function, %error, "a response was cut off");
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
