//! The engine as seen from async code: submit a request, read its events, drop it to cancel.

mod embedding;

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use tokio::sync::{broadcast, mpsc as events};

use crate::{
    block::KvEvent,
    draft::{Drafter, NgramDrafter},
    place::Place,
    request::{
        EngineConfig, Event, GenerationFailed, MAX_SAMPLES, Request, Scheduling, SubmitError,
    },
    runner::{ModelRunner, RunnerLimits, StepError, TokenId},
    sampling::{InvalidParam, MAX_LOGPROBS},
    sequence::{SeqId, Sequence},
    stats::{EngineStats, StatsSnapshot},
    step::{Engine, Message},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Sender, channel},
        thread::{self, JoinHandle},
    },
};

pub use self::embedding::Embedding;

/// A running engine. Clones speak to the same one; it ends when the last is dropped and every sequence has ended.
#[derive(Clone)]
pub struct EngineHandle(Arc<Shared>);

struct Shared {
    /// Never holds more than two messages for each place.
    messages: Sender<Message>,
    taken: Arc<AtomicUsize>,
    max_taken: usize,
    arrivals: AtomicU64,
    scheduling: Scheduling,
    limits: RunnerLimits,
    stats: Arc<EngineStats>,
    kv_events: Option<broadcast::Sender<KvEvent>>,
}

impl EngineHandle {
    /// Starts the engine's thread. The thread's result is an error if the runner broke: the process should then end.
    ///
    /// # Panics
    /// If `max_num_seqs` is 0 or above `max_num_batched_tokens`, or there is no thread for constraints, which the caller has
    /// checked.
    pub fn start(
        runner: impl ModelRunner + 'static,
        config: EngineConfig,
    ) -> (Self, JoinHandle<Result<(), StepError>>) {
        let (handle, engine) = Self::prepare(runner, config);
        let thread = thread::Builder::new()
            .name("engine".into())
            .spawn(move || engine.run())
            .expect("the system has room for one thread at start");
        (handle, thread)
    }

    /// A handle, and the engine to be run behind it.
    fn prepare<R: ModelRunner>(runner: R, config: EngineConfig) -> (Self, Engine<R>) {
        let drafter: Option<Box<dyn Drafter>> = match config.num_draft_tokens {
            0 => None,
            _ => Some(Box::new(NgramDrafter::default())),
        };
        Self::prepare_with(runner, config, drafter)
    }

    /// The same with another way to guess.
    pub(crate) fn prepare_with<R: ModelRunner>(
        runner: R,
        config: EngineConfig,
        drafter: Option<Box<dyn Drafter>>,
    ) -> (Self, Engine<R>) {
        assert!(
            config.max_num_seqs > 0,
            "an engine runs at least one sequence"
        );
        assert!(
            config.max_num_batched_tokens >= config.max_num_seqs,
            "every running sequence moves in every step"
        );
        assert!(
            config.num_constraint_threads > 0,
            "somebody moves constraints on"
        );
        let (messages, receiver) = channel();
        let stats = Arc::<EngineStats>::default();
        let limits = runner.limits().clone();
        let max_taken = config.max_num_seqs + config.max_num_queued_reqs;
        let scheduling = config.scheduling;
        let done = messages.clone();
        let engine = Engine::new(runner, config, drafter, receiver, done, stats.clone());
        let handle = Self(Arc::new(Shared {
            messages,
            taken: Arc::default(),
            max_taken,
            arrivals: AtomicU64::new(0),
            scheduling,
            limits,
            stats,
            kv_events: engine.pool().event_sender(),
        }));
        (handle, engine)
    }

    /// Hands a request to the engine: `num_samples` sequences, all of them or none. Never waits.
    ///
    /// The samples share what is computed of the prompt; sample `i` has the seed `sampling.seed + i`.
    pub fn submit(
        &self,
        mut request: Request,
        num_samples: usize,
    ) -> Result<Vec<Generation>, SubmitError> {
        let shared = &*self.0;
        shared.check(&request, num_samples)?;
        let places = Place::take(&shared.taken, num_samples, shared.max_taken);
        let places = places.ok_or(SubmitError::Overloaded {
            asked: num_samples,
            limit: shared.max_taken,
        })?;
        let prompt_len = request.prompt.len();
        let room = shared.limits.max_sequence_len() - prompt_len;
        let first = shared
            .arrivals
            .fetch_add(num_samples as u64, Ordering::Relaxed);
        let leader = SeqId {
            priority: request.priority,
            arrival: first,
        };
        let mut generations = Vec::with_capacity(num_samples);
        for (index, place) in (0..).zip(places) {
            // The prompt is the same for all: the first reports it.
            let prompt_logprobs = request.prompt_logprobs.filter(|_| index == 0);
            let most_prompt_parts = prompt_logprobs.map_or(0, |_| prompt_len - 1);
            // Room for the start, each token of prompt and answer, and the end, so that the engine never waits for a slow client.
            let most_events = most_prompt_parts + request.max_tokens.min(room) + 2;
            let sample = Request {
                prompt: request.prompt.clone(),
                sampling: request.sampling.clone(),
                scope: request.scope.clone(),
                constraint: request
                    .constraint
                    .as_ref()
                    .map(|constraint| constraint.fork()),
                prompt_logprobs,
                ..request
            };
            request.sampling.seed = request.sampling.seed.wrapping_add(1);
            let (sender, events) = events::channel(most_events);
            let id = SeqId {
                arrival: first + index,
                ..leader
            };
            let leader = (index > 0).then_some(leader);
            let (sequence, job) = Sequence::new(id, leader, sample, sender, place);
            shared
                .messages
                .send(Message::Submit(id, Box::new(sequence), job))
                .map_err(|_| SubmitError::Stopped)?;
            generations.push(Generation {
                events,
                prompt_len,
                has_ended: false,
            });
        }
        Ok(generations)
    }

    /// What the model allows.
    pub fn limits(&self) -> &RunnerLimits {
        &self.0.limits
    }

    /// Sequences that may run and wait at a time.
    pub fn max_sequences(&self) -> usize {
        self.0.max_taken
    }

    /// Sequences taken on and not yet forgotten.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn num_taken(&self) -> usize {
        self.0.taken.load(Ordering::Acquire)
    }

    /// Live figures.
    pub fn stats(&self) -> StatsSnapshot {
        self.0.stats.snapshot()
    }

    /// What becomes of cached blocks from now on, for routers that send a prompt to where its beginning is; `None` where
    /// nothing is cached. Whoever reads too slowly is told how much it has missed.
    pub fn kv_events(&self) -> Option<broadcast::Receiver<KvEvent>> {
        Some(self.0.kv_events.as_ref()?.subscribe())
    }
}

impl Shared {
    fn check(&self, request: &Request, num_samples: usize) -> Result<(), SubmitError> {
        let max_model_len = self.limits.max_sequence_len();
        let vocab_len = self.limits.vocab_len;
        let prompt_len = request.prompt.len();
        self.check_tokens(&request.prompt)?;
        if prompt_len >= max_model_len {
            return Err(SubmitError::PromptTooLong {
                prompt_len,
                max_model_len,
            });
        }
        request.sampling.check(vocab_len)?;
        let num_top = request.prompt_logprobs.unwrap_or(0);
        if num_top > MAX_LOGPROBS {
            let must_be = format!("must be at most {MAX_LOGPROBS}");
            return Err(InvalidParam::new("prompt_logprobs", must_be, num_top).into());
        }
        if request.max_tokens == 0 {
            return Err(InvalidParam::new("max_tokens", "must be at least 1", 0).into());
        }
        // More than can ever be taken on would be told to come back later, for ever.
        let most_samples = MAX_SAMPLES.min(self.max_taken);
        if num_samples == 0 || num_samples > most_samples {
            let must_be = format!("must be from 1 to {most_samples}");
            return Err(InvalidParam::new("n", must_be, num_samples).into());
        }
        self.check_priority(request.priority)
    }

    /// Whether there are tokens, and the model has them.
    fn check_tokens(&self, tokens: &[TokenId]) -> Result<(), SubmitError> {
        let vocab_len = self.limits.vocab_len;
        if tokens.is_empty() {
            return Err(SubmitError::EmptyPrompt);
        }
        let is_unknown = |token: &&TokenId| **token as usize >= vocab_len;
        match tokens.iter().find(is_unknown) {
            Some(&token) => Err(SubmitError::UnknownToken { token, vocab_len }),
            None => Ok(()),
        }
    }

    fn check_priority(&self, priority: i32) -> Result<(), SubmitError> {
        if priority != 0 && self.scheduling == Scheduling::Fcfs {
            let must_be = "must be 0 where requests are served in the order of arrival";
            return Err(InvalidParam::new("priority", must_be, priority).into());
        }
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // An engine that has ended needs no word.
        let _ = self.messages.send(Message::NoMore);
    }
}

impl std::fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineHandle")
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

/// A sequence that the engine works on. Dropping it cancels it: its blocks are free before the next step is planned.
#[derive(Debug)]
pub struct Generation {
    events: events::Receiver<Event>,
    prompt_len: usize,
    has_ended: bool,
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
        let received = self.events.poll_recv_many(context, events, usize::MAX);
        received.map(|len| {
            if len == 0 && !self.has_ended {
                // The engine's thread is gone, and with it the sequence's last word.
                events.push(Event::Failed(GenerationFailed::Stopped));
            }
            let is_last =
                |event: &Event| matches!(event, Event::Finished { .. } | Event::Failed(_));
            let had_ended = self.has_ended;
            self.has_ended |= events.last().is_some_and(is_last);
            len > 0 || !had_ended
        })
    }
}

#[cfg(all(test, loom))]
mod under_loom;
