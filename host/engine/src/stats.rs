//! Counters that anyone may read while the engine runs.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::scheduler::{Counts, Scheduler};

macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident: $atomic:ty => $plain:ty,)*) => {
        /// Live figures of an engine. Gauges are as of the last step.
        #[derive(Debug, Default)]
        pub struct EngineStats {
            $(pub(crate) $name: $atomic,)*
        }

        /// One reading of [`EngineStats`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct StatsSnapshot {
            $($(#[$doc])* pub $name: $plain,)*
        }

        impl EngineStats {
            /// Reads all figures; each is exact, together they may be a step apart.
            pub fn snapshot(&self) -> StatsSnapshot {
                StatsSnapshot {
                    $($name: self.$name.load(Ordering::Relaxed),)*
                }
            }
        }
    };
}

figures! {
    /// Sequences that take part in steps.
    running: AtomicUsize => usize,
    /// Sequences that wait for a place or for blocks.
    waiting: AtomicUsize => usize,
    /// Cache blocks that sequences use.
    used_blocks: AtomicUsize => usize,
    /// Cache blocks, used or not, that a prompt can find.
    cached_blocks: AtomicUsize => usize,
    /// Cached blocks given away for something else since start.
    evictions: AtomicU64 => u64,
    /// Prompt tokens of the sequences that began to run.
    prefix_queries: AtomicU64 => u64,
    /// Those of them that were in the cache.
    prefix_hits: AtomicU64 => u64,
    /// Tokens computed since start, prompts, answers and drafts; those of a resumed sequence count again.
    computed_tokens: AtomicU64 => u64,
    /// Tokens chosen since start.
    generated_tokens: AtomicU64 => u64,
    /// Sequences put back because blocks ran out.
    preemptions: AtomicU64 => u64,
    /// Times that tokens were guessed for a sequence.
    drafts: AtomicU64 => u64,
    /// Tokens guessed.
    draft_tokens: AtomicU64 => u64,
    /// Those guessed right.
    accepted_tokens: AtomicU64 => u64,
    /// Rows computed in vain, since their constraint had not been moved on by their end.
    late_masks: AtomicU64 => u64,
    /// Rows of steps that failed, each of which ended its sequence.
    failed_rows: AtomicU64 => u64,
    /// Steps executed.
    steps: AtomicU64 => u64,
    /// Those by the tokens computed in them: a class for each of [`STEP_LEN_BOUNDS`], and one for longer steps.
    steps_by_len: StepsByLen => [u64; NUM_STEP_CLASSES],
}

/// The most tokens of a step in each class of [`StatsSnapshot::steps_by_len`] but the last, which has no bound.
pub const STEP_LEN_BOUNDS: [usize; 13] = [
    1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384,
];

const NUM_STEP_CLASSES: usize = STEP_LEN_BOUNDS.len() + 1;

/// One counter per class.
#[derive(Debug, Default)]
pub(crate) struct StepsByLen([AtomicU64; NUM_STEP_CLASSES]);

impl StepsByLen {
    fn load(&self, ordering: Ordering) -> [u64; NUM_STEP_CLASSES] {
        std::array::from_fn(|class| self.0[class].load(ordering))
    }
}

impl EngineStats {
    /// A step was launched in which this many tokens are computed.
    pub(crate) fn launched(&self, num_tokens: usize) {
        self.computed_tokens
            .fetch_add(num_tokens as u64, Ordering::Relaxed);
        self.steps.fetch_add(1, Ordering::Relaxed);
        let class = STEP_LEN_BOUNDS.partition_point(|&bound| bound < num_tokens);
        self.steps_by_len.0[class].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn publish(&self, scheduler: &Scheduler) {
        let pool = scheduler.pool();
        let gauges = [
            (&self.running, scheduler.num_running()),
            (&self.waiting, scheduler.num_waiting()),
            (&self.used_blocks, pool.num_blocks() - pool.num_free()),
            (&self.cached_blocks, pool.num_cached()),
        ];
        for (gauge, value) in gauges {
            gauge.store(value, Ordering::Relaxed);
        }
        let Counts {
            preemptions,
            prefix_queries,
            prefix_hits,
            drafts,
            draft_tokens,
            accepted_tokens,
            generated_tokens,
            late_masks,
        } = scheduler.counts();
        let counters = [
            (&self.evictions, pool.num_evictions()),
            (&self.preemptions, preemptions),
            (&self.prefix_queries, prefix_queries),
            (&self.prefix_hits, prefix_hits),
            (&self.drafts, drafts),
            (&self.draft_tokens, draft_tokens),
            (&self.accepted_tokens, accepted_tokens),
            (&self.generated_tokens, generated_tokens),
            (&self.late_masks, late_masks),
        ];
        for (counter, value) in counters {
            counter.store(value, Ordering::Relaxed);
        }
    }
}
