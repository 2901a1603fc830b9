//! Numbers per plugin, for metrics. They are kept by name, so that a reload does not reset them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::error::{Fault, Phase};

/// One plugin's numbers since the sandbox was made.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginStats {
    /// The operator's name of the plugin.
    pub plugin: String,
    /// Its calls, one entry per phase that was called at least once.
    pub phases: Vec<PhaseStats>,
    /// Its failures, one entry per kind that happened at least once.
    pub faults: Vec<FaultStats>,
    /// Log lines over its quota.
    pub log_lines_dropped: u64,
    /// The most linear memory that one of its instances had, in bytes.
    pub peak_memory_bytes: u64,
}

/// Calls of one plugin in one phase.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhaseStats {
    /// Which phase.
    pub phase: Phase,
    /// Calls that came to an end, failed ones included. A call that its caller abandoned does not count.
    pub calls: u64,
    /// Their time by the clock on the wall.
    pub time: Duration,
}

/// Failures of one plugin of one kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaultStats {
    /// Which kind, as [`Fault::label`] has it.
    pub fault: &'static str,
    /// How often.
    pub count: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: [AtomicU64; Phase::ALL.len()],
    nanos: [AtomicU64; Phase::ALL.len()],
    faults: [AtomicU64; Fault::LABELS.len()],
    log_lines_dropped: AtomicU64,
    peak_memory_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn called(&self, phase: Phase, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.calls[phase as usize].fetch_add(1, Relaxed);
        self.nanos[phase as usize].fetch_add(nanos, Relaxed);
    }

    pub(crate) fn failed(&self, fault: &Fault) {
        self.faults[fault.index()].fetch_add(1, Relaxed);
    }

    pub(crate) fn dropped_log_line(&self) {
        self.log_lines_dropped.fetch_add(1, Relaxed);
    }

    /// An instance ended that had this much memory.
    pub(crate) fn used_memory(&self, bytes: usize) {
        self.peak_memory_bytes.fetch_max(bytes as u64, Relaxed);
    }

    pub(crate) fn snapshot(&self, plugin: &str) -> PluginStats {
        let phases = Phase::ALL.into_iter().filter_map(|phase| {
            let calls = self.calls[phase as usize].load(Relaxed);
            let time = Duration::from_nanos(self.nanos[phase as usize].load(Relaxed));
            (calls > 0).then_some(PhaseStats { phase, calls, time })
        });
        let faults = Fault::LABELS
            .into_iter()
            .zip(&self.faults)
            .filter_map(|(fault, count)| {
                let count = count.load(Relaxed);
                (count > 0).then_some(FaultStats { fault, count })
            });
        PluginStats {
            plugin: plugin.into(),
            phases: phases.collect(),
            faults: faults.collect(),
            log_lines_dropped: self.log_lines_dropped.load(Relaxed),
            peak_memory_bytes: self.peak_memory_bytes.load(Relaxed),
        }
    }
}
