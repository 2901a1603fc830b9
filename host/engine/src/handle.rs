//! The engine as seen from async code: submit a request, read its events, drop it to cancel.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::AtomicUsize,
        mpsc::{SyncSender, sync_channel},
    },
    task::{Context, Poll},
    thread::JoinHandle,
};

use tokio::sync::mpsc;

use crate::{
    request::{EngineConfig, Event, Request, SubmitError},
    runner::{ModelRunner, RunnerLimits, StepError},
    sequence::{Place, Sequence},
    stats::{EngineStats, StatsSnapshot},
    step::Engine,
};

/// A running engine. Clones speak to the same one; it ends when the last is dropped and every sequence has ended.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    requests: SyncSender<Sequence>,
    taken: Arc<AtomicUsize>,
    max_taken: usize,
    limits: RunnerLimits,
    stats: Arc<EngineStats>,
}

impl EngineHandle {
    /// Starts the engine's thread. The thread's result is an error if the runner broke: the process should then end.
    ///
    /// # Panics
    /// If `max_num_seqs` is 0 or above `max_num_batched_tokens`, which the caller has checked.
    pub fn start(
        runner: impl ModelRunner + 'static,
        config: EngineConfig,
    ) -> (Self, JoinHandle<Result<(), StepError>>) {
        assert!(
            config.max_num_seqs > 0,
            "an engine runs at least one sequence"
        );
        assert!(
            config.max_num_batched_tokens >= config.max_num_seqs,
            "every running sequence moves in every step"
        );
        let max_taken = config.max_num_seqs + config.max_num_queued_reqs;
        let (sender, receiver) = sync_channel(max_taken);
        let stats = Arc::<EngineStats>::default();
        let handle = Self {
            requests: sender,
            taken: Arc::default(),
            max_taken,
            limits: runner.limits().clone(),
            stats: stats.clone(),
        };
        let engine = Engine::new(runner, config, receiver, stats);
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || engine.run())
            .expect("the system has room for one thread at start");
        (handle, thread)
    }

    /// Hands a request to the engine. Never waits.
    pub fn submit(&self, request: Request) -> Result<Generation, SubmitError> {
        let max_model_len = self.limits.max_sequence_len();
        let vocab_len = self.limits.vocab_len;
        let prompt_len = request.prompt.len();
        if prompt_len == 0 {
            return Err(SubmitError::EmptyPrompt);
        }
        if prompt_len >= max_model_len {
            return Err(SubmitError::PromptTooLong {
                prompt_len,
                max_model_len,
            });
        }
        if let Some(&token) = request
            .prompt
            .iter()
            .find(|&&token| token as usize >= vocab_len)
        {
            return Err(SubmitError::UnknownToken { token, vocab_len });
        }
        let place = Place::take(&self.taken, self.max_taken).ok_or(SubmitError::Overloaded {
            limit: self.max_taken,
        })?;
        // Room for every token and the end, so that the engine never waits for a slow client.
        let most_events = request.max_tokens.min(max_model_len - prompt_len) + 1;
        let (sender, events) = mpsc::channel(most_events);
        self.requests
            .try_send(Sequence::new(request, sender, place))
            .map_err(|_| SubmitError::Stopped)?;
        Ok(Generation { events, prompt_len })
    }

    /// What the model allows.
    pub fn limits(&self) -> &RunnerLimits {
        &self.limits
    }

    /// Live figures.
    pub fn stats(&self) -> StatsSnapshot {
        self.stats.snapshot()
    }
}

/// A sequence that the engine works on. Dropping it cancels it: its blocks are free before the next step.
#[derive(Debug)]
pub struct Generation {
    events: mpsc::Receiver<Event>,
    prompt_len: usize,
}

impl Generation {
    /// Tokens of the prompt.
    pub fn prompt_len(&self) -> usize {
        self.prompt_len
    }

    /// Waits for at least one event and appends what is there to `events`. False when all have been read.
    pub async fn next(&mut self, events: &mut Vec<Event>) -> bool {
        poll_fn(|context| self.poll_next(context, events)).await
    }

    /// [`next`](Self::next) for a caller that waits for several generations at once.
    pub fn poll_next(&mut self, context: &mut Context<'_>, events: &mut Vec<Event>) -> Poll<bool> {
        self.events
            .poll_recv_many(context, events, usize::MAX)
            .map(|len| len > 0)
    }
}
