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
    /// Calls by how long they took: a class for each of [`CALL_TIME_BOUNDS`], and one for longer ones.
    pub calls_by_time: [u64; NUM_TIME_CLASSES],
}

/// The longest call of each class of [`PhaseStats::calls_by_time`] but the last, which has no bound: from a call that does next to
/// nothing to the compilation of a large component.
pub const CALL_TIME_BOUNDS: [Duration; 16] = [
    Duration::from_micros(10),
    Duration::from_micros(25),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(10),
];

const NUM_TIME_CLASSES: usize = CALL_TIME_BOUNDS.len() + 1;

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
    calls: [[AtomicU64; NUM_TIME_CLASSES]; Phase::ALL.len()],
    nanos: [AtomicU64; Phase::ALL.len()],
    faults: [AtomicU64; Fault::LABELS.len()],
    log_lines_dropped: AtomicU64,
    peak_memory_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn called(&self, phase: Phase, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let class = CALL_TIME_BOUNDS.partition_point(|&bound| bound < time);
        self.calls[phase as usize][class].fetch_add(1, Relaxed);
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
            let of_class = &self.calls[phase as usize];
            let calls_by_time = std::array::from_fn(|class| of_class[class].load(Relaxed));
            let stats = PhaseStats {
                phase,
                calls: calls_by_time.iter().sum(),
                time: Duration::from_nanos(self.nanos[phase as usize].load(Relaxed)),
                calls_by_time,
            };
            (stats.calls > 0).then_some(stats)
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
