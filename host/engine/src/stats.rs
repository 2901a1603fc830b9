//! Counters that anyone may read while the engine runs.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Live figures of an engine. Gauges are as of the last step.
#[derive(Debug, Default)]
pub struct EngineStats {
    pub(crate) running: AtomicUsize,
    pub(crate) waiting: AtomicUsize,
    pub(crate) used_blocks: AtomicUsize,
    pub(crate) computed_tokens: AtomicU64,
    pub(crate) generated_tokens: AtomicU64,
    pub(crate) preemptions: AtomicU64,
    pub(crate) steps: AtomicU64,
}

/// One reading of [`EngineStats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatsSnapshot {
    /// Sequences that take part in steps.
    pub running: usize,
    /// Sequences that wait for a place or for blocks.
    pub waiting: usize,
    /// Cache blocks that sequences own.
    pub used_blocks: usize,
    /// Tokens computed since start, prompts and answers; those of a resumed sequence count again.
    pub computed_tokens: u64,
    /// Tokens chosen since start.
    pub generated_tokens: u64,
    /// Sequences put back because blocks ran out.
    pub preemptions: u64,
    /// Steps executed.
    pub steps: u64,
}

impl EngineStats {
    /// Reads all figures; each is exact, together they may be a step apart.
    pub fn snapshot(&self) -> StatsSnapshot {
        StatsSnapshot {
            running: self.running.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            used_blocks: self.used_blocks.load(Ordering::Relaxed),
            computed_tokens: self.computed_tokens.load(Ordering::Relaxed),
            generated_tokens: self.generated_tokens.load(Ordering::Relaxed),
            preemptions: self.preemptions.load(Ordering::Relaxed),
            steps: self.steps.load(Ordering::Relaxed),
        }
    }
}
