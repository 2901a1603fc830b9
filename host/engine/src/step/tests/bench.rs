//! An engine that the test steps by hand.

use tokio::sync::mpsc::Receiver;

use crate::{
    draft::Drafter,
    fake::{FakeRunner, Residue},
    place::Place,
    request::{EngineConfig, Event, FinishReason, Overlap, Request},
    runner::{RunnerLimits, StepError, TokenId},
    sampling::SamplingParams,
    sequence::{SeqId, Sequence},
    step::{Engine, Message},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Sender, channel},
    },
};

pub(super) const VOCAB_LEN: usize = 97;

pub(super) struct Bench {
    pub(super) engine: Engine<FakeRunner>,
    taken: Arc<AtomicUsize>,
    sender: Sender<Message>,
    arrivals: u64,
}

pub(super) type Events = Receiver<Event>;

/// One sequence a step and a budget of `max_num_batched_tokens`, read before the next is planned.
pub(super) fn config(max_num_seqs: usize, max_num_batched_tokens: usize) -> EngineConfig {
    EngineConfig {
        max_num_seqs,
        max_num_batched_tokens,
        max_num_queued_reqs: 1_000,
        overlap: Overlap::Off,
        ..EngineConfig::default()
    }
}

pub(super) fn limits(num_blocks: usize, block_len: usize) -> RunnerLimits {
    RunnerLimits {
        block_len,
        num_blocks,
        vocab_len: VOCAB_LEN,
        max_model_len: num_blocks * block_len,
    }
}

pub(super) fn greedy(prompt: &[TokenId], max_tokens: usize) -> Request {
    Request {
        prompt: prompt.to_vec(),
        max_tokens,
        ..Request::default()
    }
}

pub(super) fn expected(prompt: &[TokenId], len: usize) -> Vec<TokenId> {
    FakeRunner::expected(prompt, len, VOCAB_LEN)
}

pub(super) const ENDED_BY_LENGTH: Event = Event::Finished {
    reason: FinishReason::Length,
    stop_token: None,
};

impl Bench {
    pub(super) fn new(runner: FakeRunner, config: EngineConfig) -> Self {
        let (sender, messages) = channel();
        let engine = Engine::new(runner, config, messages, sender.clone(), Arc::default());
        Self::with_engine(engine, sender)
    }

    pub(super) fn with_drafter(
        runner: FakeRunner,
        config: EngineConfig,
        drafter: Option<Box<dyn Drafter>>,
    ) -> Self {
        let (sender, messages) = channel();
        let done = sender.clone();
        let engine = Engine::with_drafter(runner, config, drafter, messages, done, Arc::default());
        Self::with_engine(engine, sender)
    }

    fn with_engine(engine: Engine<FakeRunner>, sender: Sender<Message>) -> Self {
        Self {
            engine,
            taken: Arc::default(),
            sender,
            arrivals: 0,
        }
    }

    pub(super) fn submit(&mut self, request: Request) -> Events {
        self.submit_samples(request, 1).remove(0)
    }

    pub(super) fn submit_samples(&mut self, request: Request, num_samples: usize) -> Vec<Events> {
        let leader = SeqId {
            priority: request.priority,
            arrival: self.arrivals,
        };
        self.arrivals += num_samples as u64;
        let places = Place::take(&self.taken, num_samples, 1_000);
        let places = places.expect("a thousand places are enough for a test");
        let submit = |(index, place)| {
            let (sender, events) = tokio::sync::mpsc::channel(request.max_tokens + 2);
            let seed = request.sampling.seed + index;
            let sample = Request {
                prompt: request.prompt.clone(),
                sampling: SamplingParams {
                    seed,
                    ..request.sampling.clone()
                },
                scope: request.scope.clone(),
                constraint: request
                    .constraint
                    .as_ref()
                    .map(|constraint| constraint.fork()),
                ..request
            };
            let id = SeqId {
                arrival: leader.arrival + index,
                ..leader
            };
            let leader = (index > 0).then_some(leader);
            let (sequence, job) = Sequence::new(id, leader, sample, sender, place);
            let message = Message::Submit(id, Box::new(sequence), job);
            self.sender.send(message).expect("the engine is alive");
            events
        };
        (0..).zip(places).map(submit).collect()
    }

    /// One turn of the engine's loop; waits for a constraint where nothing else is to do.
    pub(super) fn step(&mut self) -> Result<(), StepError> {
        self.engine.take_messages();
        let did_something = self.engine.step()?;
        let books = self.engine.scheduler.check();
        books.expect("every block has the users that it says, and is free if it has none");
        if !did_something {
            self.engine.wait();
        }
        Ok(())
    }

    pub(super) fn is_done(&self) -> bool {
        self.engine.scheduler.is_empty() && self.engine.under_way.is_empty()
    }

    pub(super) fn run_to_end(&mut self, most_steps: usize) {
        for _ in 0..most_steps {
            self.step().expect("the fake runner does not break");
            if self.is_done() {
                return;
            }
        }
        panic!("sequences starve: not done after {most_steps} steps");
    }

    pub(super) fn num_free(&self) -> usize {
        self.engine.pool().num_free()
    }

    /// Sequences taken on and not yet forgotten.
    pub(super) fn num_taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

/// The tokens that came, and the other events but the start.
pub(super) fn read(events: &mut Events) -> (Vec<TokenId>, Vec<Event>) {
    let mut tokens = Vec::new();
    let mut others = Vec::new();
    while let Ok(event) = events.try_recv() {
        match event {
            Event::Token(token) => tokens.push(token.id),
            Event::Started { .. } => assert!(tokens.is_empty(), "the start comes first"),
            other => others.push(other),
        }
    }
    (tokens, others)
}

/// Every token leaves the remainder 1 when divided by `divisor`; complete after `len` tokens.
pub(super) fn residue(divisor: u32, len: usize) -> Residue {
    Residue {
        divisor,
        remainder: 1,
        len,
        vocab_len: VOCAB_LEN,
    }
}
