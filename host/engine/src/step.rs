//! The heartbeat: take requests in, plan, compute, commit. One OS thread owns all of it; it parks on the request channel
//! while there is nothing to do and never on a timer.

use std::sync::{Arc, atomic::Ordering, mpsc};

use crate::{
    block::BlockPool,
    request::{EngineConfig, GenerationFailed},
    runner::{ModelRunner, StepError, StepRow},
    scheduler::Scheduler,
    sequence::Sequence,
    stats::EngineStats,
};

/// A runner, the sequences that it works on, and the channel that brings new ones.
pub struct Engine<R> {
    runner: R,
    scheduler: Scheduler,
    requests: mpsc::Receiver<Sequence>,
    stats: Arc<EngineStats>,
}

impl<R: ModelRunner> Engine<R> {
    pub(crate) fn new(
        runner: R,
        config: EngineConfig,
        requests: mpsc::Receiver<Sequence>,
        stats: Arc<EngineStats>,
    ) -> Self {
        let limits = runner.limits();
        let pool = BlockPool::new(limits.num_blocks, limits.block_len);
        let scheduler = Scheduler::new(config, pool, limits.max_sequence_len());
        Self {
            runner,
            scheduler,
            requests,
            stats,
        }
    }

    /// Runs until every handle is gone and every sequence has ended, or until the runner breaks.
    pub(crate) fn run(mut self) -> Result<(), StepError> {
        while self.take_requests() {
            self.step()?;
        }
        Ok(())
    }

    /// Moves new requests to the scheduler; waits for one if there is nothing else to do. False when none can come any more
    /// and none is left.
    fn take_requests(&mut self) -> bool {
        if self.scheduler.is_idle() {
            self.publish();
            match self.requests.recv() {
                Ok(sequence) => self.scheduler.add(sequence),
                Err(mpsc::RecvError) => return false,
            }
        }
        self.requests
            .try_iter()
            .for_each(|sequence| self.scheduler.add(sequence));
        true
    }

    /// One step of everything that runs.
    pub(crate) fn step(&mut self) -> Result<(), StepError> {
        self.scheduler.drop_cancelled();
        let plan = self.scheduler.plan();
        let rows: Vec<StepRow<'_>> = plan
            .iter()
            .map(|planned| {
                let sequence = &self.scheduler.running()[planned.index];
                let end = sequence.computed_len + planned.len;
                StepRow {
                    tokens: &sequence.tokens()[sequence.computed_len..end],
                    start: sequence.computed_len,
                    blocks: sequence.blocks.as_slice(),
                    sample: (end == sequence.tokens().len()).then(|| sequence.sampling()),
                }
            })
            .collect();
        if !rows.is_empty() {
            let computed: usize = rows.iter().map(|row| row.tokens.len()).sum();
            match self.runner.step(&rows) {
                Ok(tokens) => {
                    let chosen = tokens.iter().flatten().count();
                    self.stats
                        .computed_tokens
                        .fetch_add(computed as u64, Ordering::Relaxed);
                    self.stats
                        .generated_tokens
                        .fetch_add(chosen as u64, Ordering::Relaxed);
                    self.scheduler.commit(&plan, &tokens);
                }
                Err(StepError::Failed(why)) => {
                    tracing::error!(why, rows = plan.len(), "model step failed");
                    self.scheduler.fail(&plan, &GenerationFailed::Step(why));
                }
                Err(fatal @ StepError::Fatal(_)) => {
                    self.scheduler.fail_all(&GenerationFailed::Stopped);
                    return Err(fatal);
                }
            }
            self.stats.steps.fetch_add(1, Ordering::Relaxed);
        }
        self.publish();
        Ok(())
    }

    fn publish(&self) {
        let pool = self.scheduler.pool();
        self.stats
            .running
            .store(self.scheduler.running().len(), Ordering::Relaxed);
        self.stats
            .waiting
            .store(self.scheduler.num_waiting(), Ordering::Relaxed);
        self.stats
            .used_blocks
            .store(pool.num_blocks() - pool.num_free(), Ordering::Relaxed);
        self.stats
            .preemptions
            .store(self.scheduler.num_preemptions(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
