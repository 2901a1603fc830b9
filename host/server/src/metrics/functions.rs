//! What functions show: requests by outcome, their time, and what serves now.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::{app::App, functions::shares};

/// How a request to a function ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FunctionOutcome {
    /// Its response went out whole, whatever its status.
    Answered,
    /// The function failed.
    Failed,
    /// It was not let in.
    Rejected,
    /// Its client left.
    Abandoned,
}

impl FunctionOutcome {
    fn as_str(self) -> &'static str {
        match self {
            FunctionOutcome::Answered => "answered",
            FunctionOutcome::Failed => "failed",
            FunctionOutcome::Rejected => "rejected",
            FunctionOutcome::Abandoned => "abandoned",
        }
    }
}

/// Counters and histograms that functions feed.
pub(super) struct FunctionMetrics {
    requests: Family<Ended, Counter>,
    duration: Family<Version, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    function: String,
    version: u32,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Version {
    function: String,
    version: u32,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Name {
    function: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Serving {
    function: String,
    route: String,
    version: u32,
    digest: String,
    share: u8,
}

impl FunctionMetrics {
    pub(super) fn new() -> Self {
        Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(durations),
        }
    }

    pub(super) fn answered(
        &self,
        function: &str,
        version: u32,
        outcome: FunctionOutcome,
        took: Duration,
    ) {
        let ended = Ended {
            function: function.into(),
            version,
            outcome: outcome.as_str(),
        };
        self.requests.get_or_create(&ended).inc();
        let version = Version {
            function: function.into(),
            version,
        };
        let duration = self.duration.get_or_create(&version);
        duration.observe(took.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry, app: &App) {
        registry.register(
            "host_function_requests",
            "Requests to functions by how they ended",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "host_function_request_duration",
            "From arrival to the last byte of a function's response",
            Unit::Seconds,
            self.duration.clone(),
        );
        let running = Family::<Name, Gauge>::default();
        let queued = Family::<Name, Gauge>::default();
        let serving = Family::<Serving, Gauge>::default();
        for function in app.functions.deployments().functions() {
            let name = Name {
                function: function.name().to_string(),
            };
            let (now_running, now_queued) = app.functions.load(function.name());
            running.get_or_create(&name).set(now_running as i64);
            queued.get_or_create(&name).set(now_queued as i64);
            for (number, share) in shares(function.live()) {
                let version = Serving {
                    function: function.name().to_string(),
                    route: function.route().to_string(),
                    version: number.get(),
                    digest: function.versions()[&number].component.to_string(),
                    share,
                };
                serving.get_or_create(&version).set(1);
            }
        }
        registry.register(
            "host_function_running",
            "Requests that a function works on",
            running,
        );
        registry.register(
            "host_function_queued",
            "Requests that wait for a function",
            queued,
        );
        registry.register(
            "host_function_info",
            "Versions of functions that get traffic; share in percent",
            serving,
        );
        let instances = Gauge::<i64>::default();
        instances.set(app.sandbox.num_function_instances() as i64);
        registry.register(
            "host_function_instances",
            "Instances of functions alive now",
            instances,
        );
    }
}

/// Bounds in seconds, from a trivial function to one that streams a long answer.
fn durations() -> Histogram {
    Histogram::new([
        0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
        10.0, 30.0, 60.0, 120.0,
    ])
}
