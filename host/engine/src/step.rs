//! The heartbeat: take requests in, plan, launch, read, commit. One OS thread owns all of it; it parks on the channel of
//! messages while there is nothing to do and never on a timer.

use std::{collections::VecDeque, sync::atomic::Ordering, time::Instant};

use crate::{
    block::BlockPool,
    constraint::{Done, Job, Workers},
    draft::Drafter,
    request::{EngineConfig, GenerationFailed, Overlap},
    runner::{ModelRunner, RowOutcome, RunnerLimits, Step, StepError, StepRow, Want},
    scheduler::{PlannedRow, Scheduler, StepPlan},
    sequence::{Purpose, SeqId, Sequence},
    stats::EngineStats,
    sync::{
        Arc,
        mpsc::{Receiver, Sender},
    },
};

/// What the engine's thread is told.
pub(crate) enum Message {
    /// A new sequence, and the job that starts its constraint.
    Submit(SeqId, Box<Sequence>, Option<Job>),
    /// A constraint was moved on.
    Constraint(Done),
    /// Nobody can submit anything any more.
    NoMore,
}

/// A runner, the sequences that it works on, and the channel that brings new ones.
pub struct Engine<R> {
    runner: R,
    scheduler: Scheduler,
    overlap: Overlap,
    under_way: VecDeque<StepPlan>,
    messages: Receiver<Message>,
    more_may_come: bool,
    workers: Workers,
    stats: Arc<EngineStats>,
}

impl<R: ModelRunner> Engine<R> {
    /// `done` is another way into `messages`, for the constraints' threads.
    pub(crate) fn new(
        runner: R,
        config: EngineConfig,
        drafter: Option<Box<dyn Drafter>>,
        messages: Receiver<Message>,
        done: Sender<Message>,
        stats: Arc<EngineStats>,
    ) -> Self {
        let RunnerLimits {
            num_blocks,
            block_len,
            ..
        } = *runner.limits();
        let pool = BlockPool::new(num_blocks, block_len, config.prefix_caching, &config.model);
        // Guesses are made from tokens that have been read.
        let overlap = if drafter.is_some() {
            Overlap::Off
        } else {
            config.overlap
        };
        let workers = Workers::start(config.num_constraint_threads, move |constraint| {
            // An engine that has ended needs no constraint.
            let _ = done.send(Message::Constraint(constraint));
        });
        let max_model_len = runner.limits().max_sequence_len();
        Self {
            runner,
            scheduler: Scheduler::new(config, pool, max_model_len, drafter),
            overlap,
            under_way: VecDeque::new(),
            messages,
            more_may_come: true,
            workers,
            stats,
        }
    }

    /// The blocks of the cache.
    pub(crate) fn pool(&self) -> &BlockPool {
        self.scheduler.pool()
    }

    /// Runs until it is told to end and every sequence has ended, or until the runner breaks.
    pub(crate) fn run(mut self) -> Result<(), StepError> {
        loop {
            self.take_messages();
            if self.scheduler.is_empty() && self.under_way.is_empty() {
                self.check_books()?;
                if !self.more_may_come {
                    return Ok(());
                }
                self.wait();
            } else if !self.step()? {
                self.wait();
            }
        }
    }

    /// Takes what has come, without waiting.
    pub(crate) fn take_messages(&mut self) {
        while let Ok(message) = self.messages.try_recv() {
            self.take(message);
        }
    }

    fn wait(&mut self) {
        match self.messages.recv() {
            Ok(message) => self.take(message),
            Err(_) => self.more_may_come = false,
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Submit(id, sequence, job) => self.scheduler.add(id, *sequence, job),
            Message::Constraint(done) => self.scheduler.constrain(done),
            Message::NoMore => self.more_may_come = false,
        }
    }

    /// Plans and launches a step, and reads those that have to be read. False if there was nothing to do: every sequence waits
    /// for its constraint.
    pub(crate) fn step(&mut self) -> Result<bool, StepError> {
        self.scheduler.drop_unwanted(Instant::now());
        self.move_constraints_on();
        let plan = self.scheduler.plan();
        let is_idle = plan.rows.is_empty();
        if !is_idle {
            self.launch(plan);
        }
        let keep = usize::from(!is_idle && self.overlap == Overlap::On);
        let reads = self.under_way.len() > keep;
        while self.under_way.len() > keep {
            self.read()?;
        }
        self.move_constraints_on();
        self.publish();
        Ok(!is_idle || reads || self.scheduler.is_empty())
    }

    fn move_constraints_on(&mut self) {
        let jobs = self.scheduler.take_jobs();
        jobs.into_iter().for_each(|job| self.workers.push(job));
    }

    fn launch(&mut self, plan: StepPlan) {
        let of = |id: SeqId| self.scheduler.running(id).expect("it was just planned");
        let admissions: Vec<_> = plan
            .admitted
            .iter()
            .map(|&id| {
                let (slot, sequence) = of(id);
                sequence.admission(slot)
            })
            .collect();
        let rows: Vec<_> = plan
            .rows
            .iter()
            .map(|row| step_row(row, of(row.id).1))
            .collect();
        self.runner.launch(&Step {
            admissions: &admissions,
            rows: &rows,
        });
        let computed = rows.iter().map(|row| row.len + row.drafts.len()).sum();
        self.stats.launched(computed);
        self.under_way.push_back(plan);
    }

    /// Reads the oldest step under way.
    fn read(&mut self) -> Result<(), StepError> {
        let (plan, outcomes) = self.collect()?;
        match outcomes {
            Ok(outcomes) => self.commit(&plan, outcomes),
            Err(why) => self.retry(plan, &why)?,
        }
        Ok(())
    }

    /// The oldest step under way and what came of its rows, or why nothing did.
    fn collect(&mut self) -> Result<(StepPlan, Result<Vec<RowOutcome>, String>), StepError> {
        let plan = self.under_way.pop_front().expect("a step is under way");
        match self.runner.collect() {
            Ok(outcomes) => Ok((plan, Ok(outcomes))),
            Err(StepError::Failed(why)) => Ok((plan, Err(why))),
            Err(fatal @ StepError::Fatal(_)) => {
                self.scheduler.fail_all(&GenerationFailed::Stopped);
                self.publish();
                Err(fatal)
            }
        }
    }

    fn commit(&mut self, plan: &StepPlan, outcomes: Vec<RowOutcome>) {
        // A token was chosen with a mask only after the constraint was sent back.
        self.take_messages();
        for (row, outcome) in plan.rows.iter().zip(&outcomes) {
            // The row of a step that was launched before this was known fails too.
            if let RowOutcome::Failed(why) = outcome
                && self.scheduler.holds(row.id)
            {
                self.stats.failed_rows.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    why,
                    arrival = row.id.arrival,
                    "a row of a model step failed"
                );
            }
        }
        self.scheduler.commit(plan, outcomes);
    }

    /// Finds out which rows a failed step failed for, by computing each alone: only those end.
    fn retry(&mut self, failed: StepPlan, why: &str) -> Result<(), StepError> {
        tracing::error!(
            why,
            rows = failed.rows.len(),
            "model step failed; trying its rows one by one"
        );
        let mut lost = failed.rows;
        // A step launched after it went on from tokens that were never chosen.
        while !self.under_way.is_empty() {
            let (mut later, outcomes) = self.collect()?;
            let is_lost = |row: &PlannedRow| lost.iter().any(|other| other.id == row.id);
            match outcomes {
                Ok(mut outcomes) => {
                    let mut sound = later.rows.iter().map(|row| !is_lost(row));
                    outcomes.retain(|_| sound.next().expect("an outcome for each row"));
                    later.rows.retain(|row| !is_lost(row));
                    self.commit(&later, outcomes);
                }
                Err(_) => {
                    later.rows.retain(|row| !is_lost(row));
                    lost.append(&mut later.rows);
                }
            }
        }
        self.scheduler.rewind(&lost);
        for row in &lost {
            if let Some(plan) = self.scheduler.plan_again(row) {
                self.launch(plan);
                let (plan, outcomes) = self.collect()?;
                self.commit(
                    &plan,
                    outcomes.unwrap_or_else(|why| vec![RowOutcome::Failed(why)]),
                );
            }
        }
        Ok(())
    }

    /// While nothing runs no block may have a user. If one has, the engine has a fault that would in time eat up the cache.
    fn check_books(&mut self) -> Result<(), StepError> {
        self.publish();
        self.scheduler.check().map_err(|broken| {
            StepError::Fatal(format!("the books of the cache are wrong: {broken}"))
        })
    }

    fn publish(&self) {
        self.stats.publish(&self.scheduler);
    }
}

fn step_row<'a>(row: &'a PlannedRow, sequence: &'a Sequence) -> StepRow<'a> {
    StepRow {
        slot: row.slot,
        start: row.start,
        len: row.len,
        drafts: &row.drafts,
        blocks: sequence.blocks.as_slice(),
        want: match (row.purpose, sequence.mask()) {
            (Purpose::Cache, _) => Want::Nothing,
            (Purpose::Token, None) => Want::Token,
            (Purpose::Token, Some(mask)) => Want::TokenAmong(mask),
            (Purpose::Scores { num_top }, _) => Want::Scores { num_top },
            (Purpose::Hidden(pooling), _) => Want::Hidden(pooling),
        },
    }
}

// Loom's channel has no clock, and steps by hand meet nobody.
#[cfg(all(test, not(loom)))]
mod tests;
