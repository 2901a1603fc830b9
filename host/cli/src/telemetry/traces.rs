//! The server's spans to a collector: OTLP as protobuf over HTTP, set by OpenTelemetry's own environment variables.

use std::{env, error::Error, pin::Pin, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::{Key, KeyValue, global, trace::TracerProvider};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider},
};
use tokio::runtime::Handle;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

/// The one way that is spoken here.
const PROTOCOL: &str = "http/protobuf";

/// Longest that the end of the process waits for a collector.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Longest that a collector may take for a batch, where the environment does not say.
const BATCH_DEADLINE: Duration = Duration::from_secs(10);

/// Traces on their way out.
pub(super) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Batches are sent by tasks of `runtime`.
    pub(super) fn start(runtime: &Handle) -> Result<Self, Box<dyn Error>> {
        for name in [
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ] {
            if let Ok(asked) = env::var(name)
                && asked != PROTOCOL
            {
                return Err(format!(
                    "{name} is `{asked}`, but this program speaks {PROTOCOL} only: leave it out, and name the collector's \
                     port for HTTP (most often 4318)"
                )
                .into());
            }
        }
        let client = Client {
            http: reqwest::Client::builder()
                .timeout(batch_deadline())
                .build()?,
            runtime: runtime.clone(),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .build()?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_batch_exporter(exporter)
            .build();
        global::set_text_map_propagator(TraceContextPropagator::new());
        Ok(Self { provider })
    }

    /// Listens to the server's spans, and to nothing else.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let spans: OpenTelemetryLayer<S, SdkTracer> =
            tracing_opentelemetry::layer().with_tracer(self.provider.tracer("host"));
        // Where in the source a span is made tells nobody anything, and it is not run by one thread.
        let spans = spans
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_context_activation(false)
            .with_tracked_inactivity(false);
        spans.with_filter(Targets::new().with_target("host::trace", LevelFilter::DEBUG))
    }

    /// Sends what is left.
    pub(super) fn stop(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(STOP_DEADLINE) {
            eprintln!("host: the last traces were not exported: {error}");
        }
    }
}

/// Who traces: what the environment says, or else `host`.
fn resource() -> Resource {
    let said = Resource::builder().build();
    let is_named = said
        .get(&Key::from("service.name"))
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let name = (!is_named).then(|| KeyValue::new("service.name", "host"));
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    Resource::builder()
        .with_attributes(name.into_iter().chain([version]))
        .build()
}

fn batch_deadline() -> Duration {
    [
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
    ]
    .into_iter()
    .find_map(|name| env::var(name).ok()?.parse().ok())
    .map_or(BATCH_DEADLINE, Duration::from_millis)
}

/// The client that is here anyway. Batches come from a thread that belongs to no runtime, so they are sent by a task.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
}

impl HttpClient for Client {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let http = self.http.clone();
        let sending = self.runtime.spawn(async move {
            let answer = http.execute(request.try_into()?).await?;
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = answer.status();
            *response.headers_mut() = answer.headers().clone();
            *response.body_mut() = answer.bytes().await?;
            Ok(response)
        });
        Box::pin(async move { sending.await? })
    }
}
