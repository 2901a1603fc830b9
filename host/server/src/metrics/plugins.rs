//! What plugins show: calls, their time, failures, and who serves now.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::{Registry, Unit},
};
use sandbox::{CALL_TIME_BOUNDS, PhaseStats, PluginStats};

use super::counted::{Counted, CountedFamily};
use crate::app::App;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Plugin {
    plugin: String,
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

pub(super) fn register(registry: &mut Registry, app: &App) {
    register_calls(registry, &app.sandbox.stats());
    register_serving(registry, app);
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

fn register_calls(registry: &mut Registry, stats: &[PluginStats]) {
    let calls = Family::<PluginPhase, Counter>::default();
    let seconds = Family::<PluginPhase, Counter<f64, AtomicU64>>::default();
    let mut durations = Vec::new();
    let faults = Family::<PluginFault, Counter>::default();
    let dropped = Family::<Plugin, Counter>::default();
    let memory = Family::<Plugin, Gauge>::default();
    for PluginStats {
        plugin,
        phases,
        faults: of_plugin,
        log_lines_dropped,
        peak_memory_bytes,
    } in stats
    {
        let name = Plugin {
            plugin: plugin.clone(),
        };
        dropped.get_or_create(&name).inc_by(*log_lines_dropped);
        memory.get_or_create(&name).set(*peak_memory_bytes as i64);
        for phase in phases {
            let labels = PluginPhase {
                plugin: plugin.clone(),
                phase: phase.phase.as_str(),
            };
            let time = phase.time.as_secs_f64();
            calls.get_or_create(&labels).inc_by(phase.calls);
            seconds.get_or_create(&labels).inc_by(time);
            durations.push((labels, counted(phase)));
        }
        for fault in of_plugin {
            let labels = PluginFault {
                plugin: plugin.clone(),
                fault: fault.fault,
            };
            faults.get_or_create(&labels).inc_by(fault.count);
        }
    }
    registry.register("host_plugin_calls", "Calls of plugins by phase", calls);
    registry.register_with_unit(
        "host_plugin_time",
        "Time spent in plugins by phase",
        Unit::Seconds,
        seconds,
    );
    registry.register_with_unit(
        "host_plugin_call_duration",
        "Time of a call of a plugin by phase",
        Unit::Seconds,
        CountedFamily(durations),
    );
    registry.register("host_plugin_faults", "Failures of plugins by kind", faults);
    registry.register(
        "host_plugin_log_lines_dropped",
        "Log lines of plugins over their quota",
        dropped,
    );
    registry.register_with_unit(
        "host_plugin_peak_memory",
        "The most memory that one instance of a plugin had",
        Unit::Bytes,
        memory,
    );
}

fn counted(phase: &PhaseStats) -> Counted {
    let bounds = CALL_TIME_BOUNDS.iter().map(Duration::as_secs_f64);
    Counted::new(phase.time.as_secs_f64(), bounds, &phase.calls_by_time)
}
