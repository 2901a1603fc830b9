//! An engine that the test steps by hand.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::{
    Embedding,
    draft::Drafter,
    fake::{FakeRunner, Residue},
    handle::{EngineHandle, Generation},
    request::{
        EmbeddingRequest, EngineConfig, Event, FinishReason, GenerationFailed, Overlap, Request,
    },
    runner::{RunnerLimits, StepError, TokenId},
    sampling::ChosenToken,
    step::Engine,
};

/// A constraint of these tests is moved on within microseconds.
const FAR_TOO_LONG: Duration = Duration::from_secs(10);

pub(super) const VOCAB_LEN: usize = 97;
pub(super) const HIDDEN_LEN: usize = 3;

pub(super) struct Bench {
    handle: EngineHandle,
    pub(super) engine: Engine<FakeRunner>,
}

/// What a sequence reports, one after the other.
pub(super) struct Events {
    generation: Generation,
    unread: VecDeque<Event>,
}

impl Events {
    fn new(generation: Generation) -> Self {
        Self {
            generation,
            unread: VecDeque::new(),
        }
    }

    /// The next event, if it has come.
    pub(super) fn try_next(&mut self) -> Option<Event> {
        let mut come = Vec::new();
        let mut context = Context::from_waker(Waker::noop());
        let _ = self.generation.poll_next(&mut context, &mut come);
        self.unread.extend(come);
        self.unread.pop_front()
    }
}

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
        hidden_len: HIDDEN_LEN,
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
        Self::with_drafter(runner, config, None)
    }

    pub(super) fn with_drafter(
        runner: FakeRunner,
        config: EngineConfig,
        drafter: Option<Box<dyn Drafter>>,
    ) -> Self {
        let (handle, engine) = EngineHandle::prepare_with(runner, config, drafter);
        Self { handle, engine }
    }

    pub(super) fn submit(&mut self, request: Request) -> Events {
        self.submit_samples(request, 1).remove(0)
    }

    pub(super) fn submit_samples(&mut self, request: Request, num_samples: usize) -> Vec<Events> {
        let samples = self.handle.submit(request, num_samples);
        let samples = samples.expect("there is room for it").into_iter();
        samples.map(Events::new).collect()
    }

    pub(super) fn embed(&mut self, request: EmbeddingRequest) -> Embedding {
        self.handle.embed(request).expect("there is room for it")
    }

    /// One turn of the engine's loop; waits for a constraint where nothing else is to do.
    pub(super) fn step(&mut self) -> Result<(), StepError> {
        self.engine.take_messages();
        let did_something = self.engine.step()?;
        let books = self.engine.scheduler.check();
        books.expect("every block has the users that it says, and is free if it has none");
        if !did_something {
            let moved_on = self.engine.messages.recv_timeout(FAR_TOO_LONG);
            let moved_on =
                moved_on.expect("somebody waits for a constraint that is being moved on");
            self.engine.take(moved_on);
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
        self.handle.num_taken()
    }
}

/// The tokens that came, and the other events but the start, of a request that does not ask about its prompt.
pub(super) fn read(events: &mut Events) -> (Vec<TokenId>, Vec<Event>) {
    let Said {
        scores,
        tokens,
        others,
    } = read_with_scores(events);
    assert_eq!(scores, [], "nobody asked");
    (tokens, others)
}

/// What came, but for the start.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    /// Of the prompt.
    pub(super) scores: Vec<ChosenToken>,
    pub(super) tokens: Vec<TokenId>,
    pub(super) others: Vec<Event>,
}

pub(super) fn read_with_scores(events: &mut Events) -> Said {
    let mut said = Said::default();
    while let Some(event) = events.try_next() {
        match event {
            Event::Token(token) => said.tokens.push(token.id),
            Event::Started { .. } => assert_eq!(said, Said::default(), "the start comes first"),
            Event::Prompt(scores) => {
                assert!(!scores.is_empty() && said.tokens.is_empty() && said.others.is_empty());
                said.scores.extend(scores);
            }
            other => said.others.push(other),
        }
    }
    said
}

/// The vector or why there is none, if either has come.
pub(super) fn try_vector(embedding: &mut Embedding) -> Option<Result<Vec<f32>, GenerationFailed>> {
    match Pin::new(embedding).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
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
