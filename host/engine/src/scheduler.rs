//! Which sequences run in the next step, and how many tokens of each.
//!
//! There are no phases: every sequence has tokens known and tokens computed, and a step spends a budget of tokens closing
//! that gap (the idea is vLLM V1's). Those running go first, so a new prompt can only use what they leave; a prompt longer
//! than that is computed in chunks. When blocks run out, the sequence that came last gives its own up and starts over
//! from the head of the queue.

use std::collections::VecDeque;

use crate::{
    block::BlockPool,
    request::{EngineConfig, Event, GenerationFailed},
    sequence::{Progress, Sequence},
};

/// A sequence's share of a step: the next `len` tokens of the running sequence number `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedRow {
    /// Place among the running sequences.
    pub index: usize,
    /// Tokens to compute; at least 1.
    pub len: usize,
}

/// All sequences of an engine and the blocks that they own.
#[derive(Debug)]
pub struct Scheduler {
    config: EngineConfig,
    max_model_len: usize,
    waiting: VecDeque<Sequence>,
    running: Vec<Sequence>,
    pool: BlockPool,
    preemptions: u64,
}

impl Scheduler {
    /// A scheduler without sequences.
    pub fn new(config: EngineConfig, pool: BlockPool, max_model_len: usize) -> Self {
        Self {
            config,
            max_model_len,
            waiting: VecDeque::new(),
            running: Vec::new(),
            pool,
            preemptions: 0,
        }
    }

    /// Queues a new sequence.
    pub fn add(&mut self, sequence: Sequence) {
        self.waiting.push_back(sequence);
    }

    /// The sequences that [`PlannedRow::index`] counts.
    pub fn running(&self) -> &[Sequence] {
        &self.running
    }

    /// How many sequences wait.
    pub fn num_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Sequences put back so far because blocks ran out.
    pub fn num_preemptions(&self) -> u64 {
        self.preemptions
    }

    /// The blocks.
    pub fn pool(&self) -> &BlockPool {
        &self.pool
    }

    /// Whether there is nothing to do.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Forgets the sequences that nobody waits for and frees their blocks.
    pub fn drop_cancelled(&mut self) {
        self.waiting.retain(|sequence| !sequence.is_cancelled());
        self.remove_running(Sequence::is_cancelled);
    }

    /// Plans one step. Afterwards every planned sequence owns the blocks for its tokens.
    pub fn plan(&mut self) -> Vec<PlannedRow> {
        let mut budget = self.config.max_num_batched_tokens;
        let mut rows = Vec::with_capacity(self.running.len());
        let preempted = self.plan_running(&mut budget, &mut rows);
        // What was just put back would be first in the queue: admitting it again at once would only thrash.
        if !preempted {
            self.plan_waiting(&mut budget, &mut rows);
        }
        rows
    }

    fn plan_running(&mut self, budget: &mut usize, rows: &mut Vec<PlannedRow>) -> bool {
        let mut preempted = false;
        let mut index = 0;
        while index < self.running.len() && *budget > 0 {
            let sequence = &mut self.running[index];
            let len = sequence.gap_len().min(*budget);
            if self
                .pool
                .grow(&mut sequence.blocks, sequence.computed_len + len)
            {
                rows.push(PlannedRow { index, len });
                *budget -= len;
                index += 1;
            } else {
                self.preempt_last();
                preempted = true;
            }
        }
        preempted
    }

    fn plan_waiting(&mut self, budget: &mut usize, rows: &mut Vec<PlannedRow>) {
        while *budget > 0 && self.running.len() < self.config.max_num_seqs {
            let Some(mut sequence) = self.waiting.pop_front() else {
                return;
            };
            let len = sequence.gap_len().min(*budget);
            // A prompt is admitted only where all of it fits, not just its first chunk; else two half-computed prompts
            // could each wait for the other's blocks until one is thrown away.
            let fits = self.pool.blocks_for(sequence.tokens().len()) <= self.pool.num_free();
            if !fits || !self.pool.grow(&mut sequence.blocks, len) {
                self.waiting.push_front(sequence);
                return;
            }
            rows.push(PlannedRow {
                index: self.running.len(),
                len,
            });
            *budget -= len;
            self.running.push(sequence);
        }
    }

    fn preempt_last(&mut self) {
        let mut sequence = self
            .running
            .pop()
            .expect("planning a running sequence, so there is one");
        self.pool.release(&mut sequence.blocks);
        sequence.computed_len = 0;
        self.preemptions += 1;
        self.waiting.push_front(sequence);
    }

    /// Takes the outcome of a step: `tokens[i]` is what was chosen for `rows[i]`, `None` where its prompt goes on.
    pub fn commit(&mut self, rows: &[PlannedRow], tokens: &[Option<crate::TokenId>]) {
        let mut ended = vec![false; self.running.len()];
        for (row, token) in rows.iter().zip(tokens) {
            let sequence = &mut self.running[row.index];
            sequence.computed_len += row.len;
            if let Some(token) = *token {
                ended[row.index] = sequence.commit(token, self.max_model_len) == Progress::Ended;
            }
        }
        let mut ended = ended.into_iter();
        self.remove_running(|_| ended.next().expect("one mark per running sequence"));
    }

    /// Ends the sequences of a step that failed; the others go on.
    pub fn fail(&mut self, rows: &[PlannedRow], failure: &GenerationFailed) {
        for row in rows {
            self.running[row.index].report(Event::Failed(failure.clone()));
        }
        let mut index = 0;
        self.remove_running(|_| {
            index += 1;
            rows.iter().any(|row| row.index == index - 1)
        });
    }

    /// Ends every sequence.
    pub fn fail_all(&mut self, failure: &GenerationFailed) {
        self.waiting
            .drain(..)
            .for_each(|sequence| sequence.report(Event::Failed(failure.clone())));
        self.remove_running(|sequence| {
            sequence.report(Event::Failed(failure.clone()));
            true
        });
    }

    fn remove_running(&mut self, mut gone: impl FnMut(&Sequence) -> bool) {
        let pool = &mut self.pool;
        self.running.retain_mut(|sequence| {
            let gone = gone(sequence);
            if gone {
                pool.release(&mut sequence.blocks);
            }
            !gone
        });
    }
}
