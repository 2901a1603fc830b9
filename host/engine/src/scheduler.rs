//! Which sequences run in the next step, and how many tokens of each.
//!
//! There are no phases: every sequence has tokens known and tokens computed, and a step spends a budget of tokens closing
//! that gap (the idea is vLLM V1's). Those running go first and each is sure of a token, so a new prompt can only use what
//! they leave; a prompt longer than that is computed in chunks. When blocks run out, the running sequence whose turn is last
//! gives its own up and starts over as the first of those waiting.

mod plan;

use std::{collections::BTreeMap, time::Instant};

use crate::{
    block::{BlockPool, BrokenBooks},
    constraint::{Done, Job},
    draft::Drafter,
    request::{EngineConfig, GenerationFailed},
    runner::{RowOutcome, SlotId},
    sampling::ChosenToken,
    sequence::{Progress, SeqId, Sequence},
};

pub use self::plan::{PlannedRow, StepPlan};

/// All sequences of an engine and the blocks that they use.
pub struct Scheduler {
    config: EngineConfig,
    max_model_len: usize,
    waiting: BTreeMap<SeqId, Sequence>,
    running: BTreeMap<SeqId, Running>,
    free_slots: Vec<SlotId>,
    pool: BlockPool,
    drafter: Option<Box<dyn Drafter>>,
    jobs: Vec<Job>,
    counts: Counts,
}

/// A sequence that takes part in steps.
struct Running {
    slot: SlotId,
    sequence: Sequence,
    /// Whether its slot has been told of it, as it is with its first row.
    is_in_slot: bool,
}

/// What has happened since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sequences put back because blocks ran out.
    pub preemptions: u64,
    /// Prompt tokens of sequences that began to run.
    pub prefix_queries: u64,
    /// Those of them that were in the cache.
    pub prefix_hits: u64,
    /// Rows with drafts.
    pub drafts: u64,
    /// Tokens guessed.
    pub draft_tokens: u64,
    /// Those guessed right.
    pub accepted_tokens: u64,
    /// Tokens chosen.
    pub generated_tokens: u64,
    /// Rows computed in vain, since their constraint had not been moved on by their end.
    pub late_masks: u64,
}

impl Scheduler {
    /// A scheduler without sequences.
    pub fn new(
        config: EngineConfig,
        pool: BlockPool,
        max_model_len: usize,
        drafter: Option<Box<dyn Drafter>>,
    ) -> Self {
        let free_slots = (0..config.max_num_seqs as u32).rev().map(SlotId).collect();
        Self {
            config,
            max_model_len,
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            free_slots,
            pool,
            drafter,
            jobs: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Queues a new sequence.
    pub fn add(&mut self, id: SeqId, sequence: Sequence, job: Option<Job>) {
        self.jobs.extend(job);
        self.waiting.insert(id, sequence);
    }

    /// A sequence that runs, and its slot.
    pub fn running(&self, id: SeqId) -> Option<(SlotId, &Sequence)> {
        let running = self.running.get(&id)?;
        Some((running.slot, &running.sequence))
    }

    /// Whether a sequence runs or waits.
    pub fn holds(&self, id: SeqId) -> bool {
        self.running.contains_key(&id) || self.waiting.contains_key(&id)
    }

    /// How many sequences run.
    pub fn num_running(&self) -> usize {
        self.running.len()
    }

    /// How many sequences wait.
    pub fn num_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The blocks.
    pub fn pool(&self) -> &BlockPool {
        &self.pool
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Compares the books of the blocks with the sequences that run.
    pub fn check(&self) -> Result<(), BrokenBooks> {
        let tables = self
            .running
            .values()
            .map(|running| &running.sequence.blocks);
        self.pool.check(tables)
    }

    /// The constraints that have to be moved on.
    pub fn take_jobs(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.jobs)
    }

    /// Ends the sequences that nobody waits for and those whose deadline has passed.
    pub fn drop_unwanted(&mut self, now: Instant) {
        let is_over = |sequence: &mut Sequence| {
            if sequence.is_overdue(now) {
                sequence.fail(GenerationFailed::DeadlineExceeded);
            }
            sequence.is_overdue(now) || !sequence.is_wanted()
        };
        self.waiting.retain(|_, sequence| !is_over(sequence));
        let over: Vec<SeqId> = self
            .running
            .iter_mut()
            .filter_map(|(id, running)| is_over(&mut running.sequence).then_some(*id))
            .collect();
        over.into_iter().for_each(|id| self.remove(id));
    }

    /// Takes the outcome of a step, row by row. Sequences that have ended since it was launched are passed over.
    pub fn commit(&mut self, plan: &StepPlan, outcomes: Vec<RowOutcome>) {
        for (row, outcome) in plan.rows.iter().zip(outcomes) {
            match outcome {
                RowOutcome::Failed(why) => self.fail(row.id, GenerationFailed::Step(why)),
                RowOutcome::Computed => self.commit_row(row, Vec::new()),
                RowOutcome::Undecided => self.undecided(row),
                RowOutcome::Chosen(tokens) => self.commit_row(row, tokens),
                RowOutcome::Scored(tokens) => self.commit_scores(row, tokens),
                RowOutcome::Hidden(state) => self.commit_hidden(row, &state),
            }
        }
    }

    fn commit_row(&mut self, row: &PlannedRow, chosen: Vec<ChosenToken>) {
        let max_model_len = self.max_model_len;
        let num_chosen = chosen.len();
        let (sequence, is_running) = match self.running.get_mut(&row.id) {
            Some(running) => (&mut running.sequence, true),
            // It may have been preempted while the step was under way.
            None => match self.waiting.get_mut(&row.id) {
                Some(sequence) => (sequence, false),
                None => return,
            },
        };
        if is_running {
            debug_assert_eq!(
                sequence.computed_len(),
                row.start,
                "steps are read in order"
            );
            // Each accepted draft is in the cache: it was computed with the row.
            sequence.computed(row.len + num_chosen.saturating_sub(1));
        }
        let (progress, job) = match num_chosen {
            0 => (Progress::Running, None),
            _ => sequence.commit(row.id, chosen, max_model_len),
        };
        self.counts.generated_tokens += num_chosen as u64;
        if !row.drafts.is_empty() {
            self.counts.drafts += 1;
            self.counts.draft_tokens += row.drafts.len() as u64;
            self.counts.accepted_tokens += num_chosen.saturating_sub(1) as u64;
        }
        self.remember(row.id);
        self.jobs.extend(job);
        if progress == Progress::Ended {
            self.remove(row.id);
        }
    }

    fn commit_scores(&mut self, row: &PlannedRow, tokens: Vec<ChosenToken>) {
        if let Some(sequence) = self.sequence_mut(row.id) {
            sequence.scored(tokens);
        }
        self.commit_row(row, Vec::new());
    }

    fn commit_hidden(&mut self, row: &PlannedRow, state: &[f64]) {
        let progress = self
            .sequence_mut(row.id)
            .map(|sequence| sequence.pooled(row.len, state));
        self.commit_row(row, Vec::new());
        if progress == Some(Progress::Ended) {
            self.remove(row.id);
        }
    }

    /// A sequence, whether it runs or waits.
    fn sequence_mut(&mut self, id: SeqId) -> Option<&mut Sequence> {
        match self.running.get_mut(&id) {
            Some(running) => Some(&mut running.sequence),
            None => self.waiting.get_mut(&id),
        }
    }

    fn undecided(&mut self, row: &PlannedRow) {
        self.counts.late_masks += 1;
        if let Some(Running { sequence, .. }) = self.running.get_mut(&row.id) {
            // The last token is computed again: its logits are lost.
            sequence.computed(row.len - 1);
            sequence.undecided();
        } else if let Some(sequence) = self.waiting.get_mut(&row.id) {
            sequence.undecided();
        }
    }

    fn remember(&mut self, id: SeqId) {
        let Some(Running { sequence, .. }) = self.running.get_mut(&id) else {
            return;
        };
        let mut blocks = std::mem::take(&mut sequence.blocks);
        let computed_len = sequence.computed_len().min(sequence.tokens().len());
        let computed = &sequence.tokens()[..computed_len];
        self.pool.remember(&mut blocks, computed, sequence.scope());
        sequence.blocks = blocks;
    }

    /// Takes back a constraint that was moved on.
    pub fn constrain(&mut self, done: Done) {
        let Done {
            id,
            constraint,
            next,
        } = done;
        let Some(sequence) = self.sequence_mut(id) else {
            return;
        };
        if sequence.constrain(constraint, next) == Progress::Ended {
            self.remove(id);
        }
    }

    /// Ends one sequence.
    pub fn fail(&mut self, id: SeqId, failure: GenerationFailed) {
        if let Some(sequence) = self.sequence_mut(id) {
            sequence.fail(failure);
            self.remove(id);
        }
    }

    /// Ends every sequence.
    pub fn fail_all(&mut self, failure: &GenerationFailed) {
        let ids: Vec<SeqId> = self
            .waiting
            .keys()
            .chain(self.running.keys())
            .copied()
            .collect();
        ids.into_iter()
            .for_each(|id| self.fail(id, failure.clone()));
    }

    /// Forgets a sequence, whose last event was reported, and frees what it held.
    fn remove(&mut self, id: SeqId) {
        self.waiting.remove(&id);
        if let Some(Running {
            slot, mut sequence, ..
        }) = self.running.remove(&id)
        {
            self.pool.release(&mut sequence.blocks);
            self.free_slots.push(slot);
        }
    }
}
