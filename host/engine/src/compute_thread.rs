//! A runner on a thread of its own, so that the engine plans and reports while it computes.

use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
};

use crate::{
    constraint::PendingMask,
    request::Pooling,
    runner::{
        Admission, BlockId, ModelRunner, RowOutcome, RunnerLimits, SlotId, Step, StepError,
        StepRow, TokenId, Want,
    },
    sampling::SamplingParams,
};

/// Steps under way at once, by the contract of [`ModelRunner::launch`].
const MAX_UNDER_WAY: usize = 2;

/// Runs the steps of a runner whose `launch` waits for the result.
pub struct ComputeThread {
    limits: RunnerLimits,
    /// `None` once dropped.
    steps: Option<SyncSender<OwnedStep>>,
    outcomes: Receiver<Result<Vec<RowOutcome>, StepError>>,
    thread: Option<JoinHandle<()>>,
}

impl ComputeThread {
    /// Moves `runner` to its thread.
    pub fn start(mut runner: impl ModelRunner + 'static) -> Self {
        let limits = runner.limits().clone();
        let (steps, queue) = sync_channel::<OwnedStep>(MAX_UNDER_WAY);
        let (done, outcomes) = sync_channel(MAX_UNDER_WAY);
        let work = move || {
            for step in queue {
                step.launch(&mut runner);
                if done.send(runner.collect()).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("compute".into())
            .spawn(work)
            .expect("the system has room for one thread at start");
        Self {
            limits,
            steps: Some(steps),
            outcomes,
            thread: Some(thread),
        }
    }
}

impl ModelRunner for ComputeThread {
    fn limits(&self) -> &RunnerLimits {
        &self.limits
    }

    fn launch(&mut self, step: &Step<'_>) {
        let steps = self.steps.as_ref().expect("only drop takes it");
        // A thread that is gone is reported by `collect`.
        let _ = steps.send(OwnedStep::new(step));
    }

    fn collect(&mut self) -> Result<Vec<RowOutcome>, StepError> {
        self.outcomes
            .recv()
            .unwrap_or_else(|_| Err(StepError::Fatal("its thread panicked".into())))
    }
}

impl Drop for ComputeThread {
    fn drop(&mut self) {
        self.steps = None;
        if let Some(thread) = self.thread.take() {
            // Its panic was reported by `collect`.
            let _ = thread.join();
        }
    }
}

/// A [`Step`] that can travel.
struct OwnedStep {
    admissions: Vec<OwnedAdmission>,
    rows: Vec<OwnedRow>,
}

struct OwnedAdmission {
    slot: SlotId,
    tokens: Vec<TokenId>,
    prompt_len: usize,
    sampling: SamplingParams,
}

struct OwnedRow {
    slot: SlotId,
    start: usize,
    len: usize,
    drafts: Vec<TokenId>,
    blocks: Vec<BlockId>,
    want: OwnedWant,
}

enum OwnedWant {
    Nothing,
    Token,
    TokenAmong(PendingMask),
    Scores { num_top: usize },
    Hidden(Pooling),
}

impl OwnedStep {
    fn new(step: &Step<'_>) -> Self {
        let admission = |admission: &Admission<'_>| OwnedAdmission {
            slot: admission.slot,
            tokens: admission.tokens.to_vec(),
            prompt_len: admission.prompt_len,
            sampling: admission.sampling.clone(),
        };
        let row = |row: &StepRow<'_>| OwnedRow {
            slot: row.slot,
            start: row.start,
            len: row.len,
            drafts: row.drafts.to_vec(),
            blocks: row.blocks.to_vec(),
            want: match row.want {
                Want::Nothing => OwnedWant::Nothing,
                Want::Token => OwnedWant::Token,
                Want::TokenAmong(mask) => OwnedWant::TokenAmong(mask.clone()),
                Want::Scores { num_top } => OwnedWant::Scores { num_top },
                Want::Hidden(pooling) => OwnedWant::Hidden(pooling),
            },
        };
        Self {
            admissions: step.admissions.iter().map(admission).collect(),
            rows: step.rows.iter().map(row).collect(),
        }
    }

    fn launch(&self, runner: &mut impl ModelRunner) {
        let admissions: Vec<_> = self.admissions.iter().map(OwnedAdmission::borrow).collect();
        let rows: Vec<_> = self.rows.iter().map(OwnedRow::borrow).collect();
        runner.launch(&Step {
            admissions: &admissions,
            rows: &rows,
        });
    }
}

impl OwnedAdmission {
    fn borrow(&self) -> Admission<'_> {
        Admission {
            slot: self.slot,
            tokens: &self.tokens,
            prompt_len: self.prompt_len,
            sampling: &self.sampling,
        }
    }
}

impl OwnedRow {
    fn borrow(&self) -> StepRow<'_> {
        StepRow {
            slot: self.slot,
            start: self.start,
            len: self.len,
            drafts: &self.drafts,
            blocks: &self.blocks,
            want: match &self.want {
                OwnedWant::Nothing => Want::Nothing,
                OwnedWant::Token => Want::Token,
                OwnedWant::TokenAmong(mask) => Want::TokenAmong(mask),
                OwnedWant::Scores { num_top } => Want::Scores { num_top: *num_top },
                OwnedWant::Hidden(pooling) => Want::Hidden(*pooling),
            },
        }
    }
}
