//! What this process tells of itself: logs on stderr and, where it was built with the feature `otel` and a collector is named,
//! traces by OpenTelemetry's protocol.

#[cfg(feature = "otel")]
mod traces;

use std::{env, io::IsTerminal};

use tokio::runtime::Handle;
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::args::log::{LogArgs, LogFormat};

/// Where a collector is named, in the standard's words.
const COLLECTORS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];

/// What runs until the process ends.
pub(crate) struct Telemetry {
    #[cfg(feature = "otel")]
    traces: Option<traces::Traces>,
}

impl Telemetry {
    /// Logs as the arguments say, and `default_log` where they do not. Traces are for a command that serves, which gives its runtime.
    pub(crate) fn start(args: &LogArgs, default_log: &str, serves_on: Option<&Handle>) -> Self {
        let filter = match &args.log_level {
            Some(level) => EnvFilter::new(level),
            None => EnvFilter::try_from_default_env().unwrap_or_else(|_| default_log.into()),
        };
        let logs = fmt::layer().with_writer(std::io::stderr);
        let logs = match args.log_format {
            LogFormat::Text => logs.with_ansi(std::io::stderr().is_terminal()).boxed(),
            LogFormat::Json => logs.json().flatten_event(true).boxed(),
        };
        let subscriber = tracing_subscriber::registry().with(logs.with_filter(filter));
        let serves_on = serves_on.filter(|_| names_collector());
        #[cfg(feature = "otel")]
        {
            let traces = serves_on.and_then(|runtime| {
                let started = traces::Traces::start(runtime);
                started
                    .inspect_err(|why| eprintln!("host: no traces are exported: {why}"))
                    .ok()
            });
            let layer = traces.as_ref().map(traces::Traces::layer);
            subscriber.with(layer).init();
            Self { traces }
        }
        #[cfg(not(feature = "otel"))]
        {
            subscriber.init();
            if serves_on.is_some() {
                eprintln!(
                    "host: no traces are exported: {} names a collector, but this binary was built without \
                     `--features host/otel`",
                    COLLECTORS[0]
                );
            }
            Self {}
        }
    }

    /// Sends what was not sent yet. The runtime must still run.
    pub(crate) fn stop(self) {
        #[cfg(feature = "otel")]
        if let Some(traces) = self.traces {
            traces.stop();
        }
    }
}

/// Whether the environment asks for traces.
fn names_collector() -> bool {
    let says = |name: &str, value: &str| {
        env::var(name).is_ok_and(|said| said.trim().eq_ignore_ascii_case(value))
    };
    let is_off = says("OTEL_SDK_DISABLED", "true") || says("OTEL_TRACES_EXPORTER", "none");
    let is_named = |name: &str| env::var(name).is_ok_and(|endpoint| !endpoint.trim().is_empty());
    !is_off && COLLECTORS.iter().any(|name| is_named(name))
}
