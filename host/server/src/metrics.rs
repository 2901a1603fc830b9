//! What `/metrics` shows, under vLLM's names where it has one, so that dashboards and autoscalers made for it fit.

mod connections;
mod engine;
mod functions;

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

use sandbox::PluginStats;

use crate::app::App;
pub(crate) use connections::ConnectionMetrics;
use functions::FunctionMetrics;
pub(crate) use functions::FunctionOutcome;

/// Counters and histograms that requests feed. Gauges are read from the engine when somebody asks.
pub(crate) struct Metrics {
    prompt_tokens: Counter,
    generation_tokens: Counter,
    finished: Family<Finished, Counter>,
    responses: Family<Answered, Counter>,
    time_to_first_token: Histogram,
    inter_token_latency: Histogram,
    e2e_latency: Histogram,
    functions: FunctionMetrics,
    pub(crate) connections: ConnectionMetrics,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Finished {
    finished_reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PluginPhase {
    plugin: String,
    phase: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PluginFault {
    plugin: String,
    fault: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PluginServing {
    plugin: String,
    role: &'static str,
    version: String,
    digest: String,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        // vLLM's bucket bounds, in seconds.
        let first_token = [
            0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5,
            10.0, 20.0, 40.0, 80.0,
        ];
        let between_tokens = [
            0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5,
            10.0, 20.0, 40.0, 80.0,
        ];
        let whole = [
            0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0,
            120.0, 240.0, 480.0, 960.0,
        ];
        Self {
            prompt_tokens: Counter::default(),
            generation_tokens: Counter::default(),
            finished: Family::default(),
            responses: Family::default(),
            time_to_first_token: Histogram::new(first_token),
            inter_token_latency: Histogram::new(between_tokens),
            e2e_latency: Histogram::new(whole),
            functions: FunctionMetrics::new(),
            connections: ConnectionMetrics::default(),
        }
    }

    /// A response's head went out.
    pub(crate) fn answered(&self, status: u16) {
        self.responses.get_or_create(&Answered { status }).inc();
    }

    /// A request's first token was ready, this long after the request arrived.
    pub(crate) fn first_token(&self, after: Duration) {
        self.time_to_first_token.observe(after.as_secs_f64());
    }

    /// `len` tokens came, this long after the ones before.
    pub(crate) fn tokens(&self, len: usize, gap: Option<Duration>) {
        self.generation_tokens.inc_by(len as u64);
        if let Some(gap) = gap {
            (0..len).for_each(|_| {
                self.inter_token_latency
                    .observe(gap.as_secs_f64() / len as f64)
            });
        }
    }

    /// The engine took a prompt on.
    pub(crate) fn prompt(&self, len: usize) {
        self.prompt_tokens.inc_by(len as u64);
    }

    /// A choice ended: `stop`, `length`, `tool_calls`, `abort` (the client left) or `error`.
    pub(crate) fn finished(&self, finished_reason: &'static str) {
        self.finished
            .get_or_create(&Finished { finished_reason })
            .inc();
    }

    /// A request to a function ended; version 0 is one that is part of the host.
    pub(crate) fn function_answered(
        &self,
        function: &str,
        version: u32,
        outcome: FunctionOutcome,
        took: Duration,
    ) {
        self.functions.answered(function, version, outcome, took);
    }

    /// A request ended, this long after it arrived.
    pub(crate) fn ended(&self, after: Duration) {
        self.e2e_latency.observe(after.as_secs_f64());
    }
}

/// The OpenMetrics text of everything.
pub(crate) fn render(app: &App) -> String {
    let mut registry =
        Registry::with_labels([("model_name".into(), app.models[0].id.clone().into())].into_iter());
    let metrics = &app.metrics;
    engine::register(&mut registry, &app.engine);
    registry.register(
        "vllm:prompt_tokens",
        "Tokens of the prompts taken on",
        metrics.prompt_tokens.clone(),
    );
    registry.register(
        "vllm:generation_tokens",
        "Tokens generated",
        metrics.generation_tokens.clone(),
    );
    registry.register(
        "vllm:request_success",
        "Choices that ended, by reason",
        metrics.finished.clone(),
    );
    let seconds = Unit::Seconds;
    registry.register_with_unit(
        "vllm:time_to_first_token",
        "From arrival to the first token",
        seconds.clone(),
        metrics.time_to_first_token.clone(),
    );
    registry.register_with_unit(
        "vllm:inter_token_latency",
        "Between tokens of one choice",
        seconds.clone(),
        metrics.inter_token_latency.clone(),
    );
    registry.register_with_unit(
        "vllm:e2e_request_latency",
        "From arrival to the last byte",
        seconds,
        metrics.e2e_latency.clone(),
    );
    registry.register(
        "host_http_responses",
        "Responses by status",
        metrics.responses.clone(),
    );
    metrics.connections.register(&mut registry);
    register_plugins(&mut registry, &app.sandbox.stats());
    register_serving(&mut registry, app);
    metrics.functions.register(&mut registry, app);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)
        .expect("writing to a string does not fail");
    text
}

/// Which plugins serve now.
fn register_serving(registry: &mut Registry, app: &App) {
    let serving = Family::<PluginServing, Gauge>::default();
    let current = app.plugins.current();
    for info in current.plugins.infos().chain(app.functions.builtin()) {
        let labels = PluginServing {
            plugin: info.name.to_string(),
            role: info.role.as_str(),
            version: info.version.clone().unwrap_or_default(),
            digest: info.digest.to_string(),
        };
        serving.get_or_create(&labels).set(1);
    }
    registry.register("host_plugin_info", "Plugins that serve", serving);
    registry.register(
        "host_plugin_generation",
        "How often the plugins were replaced, and 1",
        ConstGauge::new(current.generation as i64),
    );
}

fn register_plugins(registry: &mut Registry, stats: &[PluginStats]) {
    let calls = Family::<PluginPhase, Counter>::default();
    let seconds = Family::<PluginPhase, Counter<f64, AtomicU64>>::default();
    let faults = Family::<PluginFault, Counter>::default();
    for PluginStats {
        plugin,
        phases,
        faults: of_plugin,
        ..
    } in stats
    {
        for phase in phases {
            let labels = PluginPhase {
                plugin: plugin.clone(),
                phase: phase.phase.as_str(),
            };
            calls.get_or_create(&labels).inc_by(phase.calls);
            seconds
                .get_or_create(&labels)
                .inc_by(phase.time.as_secs_f64());
        }
        for fault in of_plugin {
            faults
                .get_or_create(&PluginFault {
                    plugin: plugin.clone(),
                    fault: fault.fault,
                })
                .inc_by(fault.count);
        }
    }
    registry.register("host_plugin_calls", "Calls of plugins by phase", calls);
    registry.register_with_unit(
        "host_plugin_time",
        "Time spent in plugins by phase",
        Unit::Seconds,
        seconds,
    );
    registry.register("host_plugin_faults", "Failures of plugins by kind", faults);
}
