//! What `/metrics` shows, under vLLM's names where it has one, so that dashboards and autoscalers made for it fit. All names are
//! listed in `host/docs/observability.md`, which a test compares with what is shown.

mod choices;
mod connections;
mod counted;
mod engine;
mod exposition;
mod functions;
mod plugins;

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use crate::app::App;
pub(crate) use choices::{ChoiceEnd, ChoiceMetrics, Inference};
pub(crate) use connections::ConnectionMetrics;
pub(crate) use exposition::Exposition;
use functions::FunctionMetrics;
pub(crate) use functions::FunctionOutcome;

/// Counters and histograms that requests feed. Gauges are read from the engine when somebody asks.
pub(crate) struct Metrics {
    /// What requests to the model feed.
    pub(crate) choices: ChoiceMetrics,
    responses: Family<Answered, Counter>,
    functions: FunctionMetrics,
    pub(crate) connections: ConnectionMetrics,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    status: u16,
}

impl Metrics {
    /// For a model whose context holds `max_model_len` tokens.
    pub(crate) fn new(max_model_len: usize) -> Self {
        Self {
            choices: ChoiceMetrics::new(max_model_len),
            responses: Family::default(),
            functions: FunctionMetrics::new(),
            connections: ConnectionMetrics::default(),
        }
    }

    /// A response's head went out.
    pub(crate) fn answered(&self, status: u16) {
        self.responses.get_or_create(&Answered { status }).inc();
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
}

/// Everything, as text in the format that was asked for.
pub(crate) fn render(app: &App, exposition: Exposition) -> String {
    let model_name = ("model_name".into(), app.models[0].id.clone().into());
    let mut registry = Registry::with_labels([model_name].into_iter());
    let metrics = &app.metrics;
    // vLLM numbers its engines; here is one.
    let of_engine = registry.sub_registry_with_label(("engine".into(), "0".into()));
    engine::register_like_vllm(of_engine, &app.engine);
    metrics.choices.register(of_engine);
    engine::register(&mut registry, &app.engine);
    registry.register(
        "host_http_responses",
        "Responses by status",
        metrics.responses.clone(),
    );
    metrics.connections.register(&mut registry);
    plugins::register(&mut registry, app);
    metrics.functions.register(&mut registry, app);
    exposition.text(&registry)
}
