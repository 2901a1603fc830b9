//! The budget of one step, spent.

use super::{Running, Scheduler};
use crate::{
    block::{Caching, Prefix},
    runner::{SlotId, TokenId},
    sequence::{Purpose, SeqId, Sequence, Start},
};

/// A sequence's share of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRow {
    /// Whose.
    pub id: SeqId,
    /// Where it runs.
    pub slot: SlotId,
    /// The first position to compute.
    pub start: usize,
    /// Tokens to compute besides drafts; at least 1.
    pub len: usize,
    /// Guesses at the tokens that follow.
    pub drafts: Vec<TokenId>,
    /// What it is computed for.
    pub purpose: Purpose,
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepPlan {
    /// The sequences that take a slot: those whose first row this step has.
    pub admitted: Vec<SeqId>,
    /// The rows, at most one of a sequence.
    pub rows: Vec<PlannedRow>,
}

impl Scheduler {
    /// Plans one step. Afterwards every planned sequence owns the blocks for its tokens.
    pub fn plan(&mut self) -> StepPlan {
        let mut plan = StepPlan::default();
        let mut budget = self.config.max_num_batched_tokens;
        let preemptions = self.counts.preemptions;
        self.plan_running(&mut budget, &mut plan);
        // What was just put back would be first in the queue: admitting it again at once would only thrash.
        if self.counts.preemptions == preemptions {
            self.plan_waiting(&mut budget, &mut plan);
        }
        plan
    }

    /// Plans the part of `row` again, whose step has failed, for its sequence alone. `None` if that has ended.
    pub fn plan_again(&mut self, row: &PlannedRow) -> Option<StepPlan> {
        let mut plan = StepPlan::default();
        let mut budget = row.len;
        self.plan_row(row.id, &mut budget, 0, &mut plan);
        (!plan.rows.is_empty()).then_some(plan)
    }

    /// Forgets that these rows are under way, and what the runner made of their slots.
    pub fn rewind(&mut self, rows: &[PlannedRow]) {
        for row in rows {
            if let Some(running) = self.running.get_mut(&row.id) {
                running.sequence.rewind();
                running.is_in_slot = false;
            }
        }
    }

    fn plan_running(&mut self, budget: &mut usize, plan: &mut StepPlan) {
        let ids: Vec<SeqId> = self.running.keys().copied().collect();
        for (index, &id) in ids.iter().enumerate() {
            // Those that come after it must be sure of a token each.
            let reserved = ids.len() - index - 1;
            while self.running.contains_key(&id) && !self.plan_row(id, budget, reserved, plan) {
                self.preempt_last();
            }
        }
    }

    /// Adds a running sequence's row, if it has anything to compute. False if blocks are missing.
    fn plan_row(
        &mut self,
        id: SeqId,
        budget: &mut usize,
        reserved: usize,
        plan: &mut StepPlan,
    ) -> bool {
        let Some(running) = self.running.get_mut(&id) else {
            return true;
        };
        let Running {
            slot,
            sequence,
            is_in_slot,
        } = running;
        let Some(gap) = sequence.gap(self.max_model_len) else {
            return true;
        };
        let most = budget.saturating_sub(reserved);
        let (len, purpose) = sequence.next_row(gap, most);
        if len == 0 {
            return true;
        }
        let mut drafts = match &mut self.drafter {
            Some(drafter)
                if gap.len == 1 && purpose == Purpose::Token && !sequence.is_constrained() =>
            {
                // The token after the last guess must still be wanted.
                let room = sequence.room(self.max_model_len) - 1;
                let most = self.config.num_draft_tokens.min(room).min(most - 1);
                drafter.draft(sequence.tokens(), most)
            }
            _ => Vec::new(),
        };
        let start = sequence.planned_len();
        if !self
            .pool
            .grow(&mut sequence.blocks, start + len + drafts.len())
        {
            // Guesses are not worth another sequence's blocks.
            drafts.clear();
            if !self.pool.grow(&mut sequence.blocks, start + len) {
                return false;
            }
        }
        *budget -= len + drafts.len();
        sequence.plan(len, purpose);
        if !std::mem::replace(is_in_slot, true) {
            plan.admitted.push(id);
        }
        plan.rows.push(PlannedRow {
            id,
            slot: *slot,
            start,
            len,
            drafts,
            purpose,
        });
        true
    }

    fn plan_waiting(&mut self, budget: &mut usize, plan: &mut StepPlan) {
        let mut after = None;
        while *budget > 0 && !self.free_slots.is_empty() {
            let Some(id) = self.next_waiting(after) else {
                return;
            };
            after = Some(id);
            if self.waits_for_leader(&self.waiting[&id]) {
                continue;
            }
            if !self.admit(id) {
                // Nobody overtakes: a long prompt would wait for ever behind short ones.
                return;
            }
            let fits = self.plan_row(id, budget, 0, plan);
            debug_assert!(fits, "a sequence is admitted with room for all its tokens");
        }
    }

    fn next_waiting(&self, after: Option<SeqId>) -> Option<SeqId> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.waiting
            .range((from, Unbounded))
            .next()
            .map(|(id, _)| *id)
    }

    /// Another sample of a prompt waits until the first has computed it, to share its blocks.
    fn waits_for_leader(&self, sequence: &Sequence) -> bool {
        let Some(leader) = sequence.leader() else {
            return false;
        };
        match self.running.get(&leader) {
            Some(running) => running.sequence.computed_len() < self.shared_len(sequence),
            None => self.waiting.contains_key(&leader),
        }
    }

    /// Tokens of a prompt that its samples can share: whole blocks, but not the last token, which each sample computes for
    /// its own logits.
    fn shared_len(&self, sequence: &Sequence) -> usize {
        let block_len = self.pool.block_len();
        (sequence.prompt_len() - 1) / block_len * block_len
    }

    /// Moves a waiting sequence to those running. False if its blocks are missing.
    fn admit(&mut self, id: SeqId) -> bool {
        let sequence = &self.waiting[&id];
        let prefix = self.prefix(sequence);
        let cached_len = prefix.num_blocks() * self.pool.block_len();
        // A sequence is admitted only where all of it fits, not just its first chunk; else two half-computed prompts could
        // each wait for the other's blocks until one is thrown away. Those that run will soon want a block each: without
        // room for that, what is admitted now would be put back in a moment.
        let whole_len = sequence.tokens().len();
        let headroom = self.running.len() * self.pool.block_len();
        let Some(blocks) = self.pool.admit(prefix, cached_len, whole_len + headroom) else {
            return false;
        };
        let slot = self.free_slots.pop().expect("a slot is free");
        let mut sequence = self.waiting.remove(&id).expect("it waits");
        if sequence.start(blocks, cached_len) == Start::First {
            self.counts.prefix_queries += whole_len as u64;
            self.counts.prefix_hits += cached_len as u64;
        }
        let running = Running {
            slot,
            sequence,
            is_in_slot: false,
        };
        self.running.insert(id, running);
        true
    }

    /// What the sequence need not compute.
    fn prefix(&self, sequence: &Sequence) -> Prefix {
        let leader = sequence
            .leader()
            .and_then(|leader| self.running.get(&leader));
        match (self.config.prefix_caching, leader) {
            (Caching::On, _) => self.pool.find(sequence.findable(), sequence.scope()),
            (Caching::Off, None) => Prefix::default(),
            (Caching::Off, Some(leader)) => {
                let num_blocks = self.shared_len(sequence) / self.pool.block_len();
                self.pool.share(&leader.sequence.blocks, num_blocks)
            }
        }
    }

    fn preempt_last(&mut self) {
        let (id, mut running) = self
            .running
            .pop_last()
            .expect("planning a running sequence, so there is one");
        self.pool.release(&mut running.sequence.stop());
        self.free_slots.push(running.slot);
        self.counts.preemptions += 1;
        self.waiting.insert(id, running.sequence);
    }
}
