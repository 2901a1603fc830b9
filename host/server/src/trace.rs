//! The spans of a request: one for the whole and one for each stage, all children of the first or of what a function asks of the
//! model. Names and fields are listed in `host/docs/observability.md`; where OpenTelemetry's conventions for HTTP and for
//! generative AI have a name, it is theirs.
//!
//! They cost a comparison each while nobody listens. Stages know their request by its span and not by what runs around them: a
//! function calls the model from a task of its own, and a stream is driven by its connection. A request's own span is never
//! entered: exporters take the last exit of a span for its end.

use http::{Request, StatusCode};
use sandbox::{InferenceRequest, Input, Usage};
use tracing::{Span, debug_span, field::Empty};

/// A span with the target that exporters select by.
macro_rules! span {
    ($parent:expr, $name:literal $($fields:tt)*) => {
        debug_span!(target: "host::trace", parent: $parent, $name $($fields)*)
    };
}

/// The whole of a request; the client's own trace is continued where there is one.
pub(crate) fn request<B>(request: &Request<B>, request_id: &str) -> Span {
    let span = span!(
        None,
        "request",
        otel.kind = "server",
        otel.status_code = Empty,
        request_id,
        http.request.method = %request.method(),
        url.path = request.uri().path(),
        http.response.status_code = Empty,
        gen_ai.operation.name = Empty,
        gen_ai.request.model = Empty,
        gen_ai.request.choice.count = Empty,
        gen_ai.request.max_tokens = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        gen_ai.usage.cache_read.input_tokens = Empty,
    );
    #[cfg(feature = "otel")]
    continue_trace(&span, request.headers());
    span
}

/// Makes the trace that the `traceparent` header names the parent's.
#[cfg(feature = "otel")]
fn continue_trace(span: &Span, headers: &http::HeaderMap) {
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    if span.is_disabled() {
        return;
    }
    let of_client = opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.extract(&opentelemetry_http::HeaderExtractor(headers))
    });
    // Without an exporter there is nothing that could have a parent.
    let _ = span.set_parent(of_client);
}

/// A response's head is ready.
pub(crate) fn answered(request: &Span, status: StatusCode) {
    request.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        request.record("otel.status_code", "ERROR");
    }
}

/// A request is for the model.
pub(crate) fn asks_model(request: &Span, asked: &InferenceRequest) {
    let operation = match asked.inputs.first() {
        Some(Input::Chat(_)) => "chat",
        _ => "text_completion",
    };
    request.record("gen_ai.operation.name", operation);
    request.record("gen_ai.request.model", &*asked.model);
    request.record("gen_ai.request.choice.count", asked.n);
    if let Some(max_tokens) = asked.sampling.max_tokens {
        request.record("gen_ai.request.max_tokens", max_tokens);
    }
}

/// A request to the model is over.
pub(crate) fn used(request: &Span, usage: &Usage) {
    request.record("gen_ai.usage.input_tokens", usage.prompt_tokens);
    request.record("gen_ai.usage.output_tokens", usage.completion_tokens);
    request.record("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens);
}

/// A router reads the request.
pub(crate) fn parse(request: &Span) -> Span {
    span!(request, "parse")
}

/// A shaper changes or refuses it.
pub(crate) fn shape(request: &Span, plugin: &str) -> Span {
    span!(request, "shape", plugin)
}

/// The chat template writes a prompt.
pub(crate) fn render(request: &Span) -> Span {
    span!(request, "render")
}

/// The tokenizer reads a prompt.
pub(crate) fn tokenise(request: &Span) -> Span {
    span!(request, "tokenise", num_tokens = Empty)
}

/// A choice waits for a place in the engine.
pub(crate) fn queue(request: &Span, choice: usize) -> Span {
    span!(request, "queue", choice)
}

/// Its prompt is computed.
pub(crate) fn prefill(request: &Span, choice: usize, prompt_len: usize, cached_len: usize) -> Span {
    span!(
        request,
        "prefill",
        choice,
        gen_ai.usage.input_tokens = prompt_len,
        gen_ai.usage.cache_read.input_tokens = cached_len,
    )
}

/// Its answer is, from the first token to the last.
pub(crate) fn decode(request: &Span, choice: usize) -> Span {
    span!(
        request,
        "decode",
        choice,
        gen_ai.usage.output_tokens = Empty,
        finish_reason = Empty,
    )
}

/// The router writes the answer, as fast as the client reads.
pub(crate) fn reply(request: &Span) -> Span {
    span!(request, "reply")
}

/// A function asks the model: the parent of what comes of that.
pub(crate) fn generate(request: &Span) -> Span {
    span!(
        request,
        "generate",
        gen_ai.operation.name = Empty,
        gen_ai.request.model = Empty,
        gen_ai.request.choice.count = Empty,
        gen_ai.request.max_tokens = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        gen_ai.usage.cache_read.input_tokens = Empty,
    )
}

/// A function answers the request.
pub(crate) fn handle(request: &Span, function: &str, version: u32) -> Span {
    span!(request, "handle", function, version)
}
