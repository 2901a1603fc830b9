//! The threads around an engine, in every order in which they can meet.
//!
//! Explored is whatever goes through `sync`: the places, the channel of messages, the engine's own loop, the threads of
//! constraints. Not explored is the channel that carries a sequence's events: it is tokio's, which explores it in its own
//! tests, and here each of its operations happens at once. So that a client may leave in the middle of a step, and while its
//! constraint is being moved on, client, runner and constraint all touch one atomic.

use std::task::{Context, Poll, Waker};

use loom::model::Builder;

use super::*;
use crate::{
    block::Caching,
    constraint::{Constraint, Next, TokenMask},
    fake::FakeRunner,
    request::{FinishReason, Overlap},
    runner::{RowOutcome, Step, TokenId},
    sync::atomic::AtomicUsize,
};

const LIMITS: RunnerLimits = RunnerLimits {
    block_len: 2,
    num_blocks: 4,
    vocab_len: 5,
    hidden_len: 2,
    max_model_len: 8,
};

/// One sequence at a time, and one that waits.
fn config(overlap: Overlap) -> EngineConfig {
    EngineConfig {
        max_num_seqs: 1,
        max_num_batched_tokens: 4,
        max_num_queued_reqs: 1,
        prefix_caching: Caching::Off,
        overlap,
        ..EngineConfig::default()
    }
}

/// Explores a model with at most three switches away from a thread that could go on. With four this takes many minutes.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 10_000;
    builder.check(model);
}

/// Where threads meet that otherwise would not.
#[derive(Clone, Default)]
struct Crossing(Arc<AtomicUsize>);

impl Crossing {
    fn pass(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// A runner that passes the crossing between plan and launch, and between launch and commit.
struct Crossed(FakeRunner, Crossing);

impl ModelRunner for Crossed {
    fn limits(&self) -> &RunnerLimits {
        self.0.limits()
    }

    fn launch(&mut self, step: &Step<'_>) {
        self.1.pass();
        self.0.launch(step);
    }

    fn collect(&mut self) -> Result<Vec<RowOutcome>, StepError> {
        self.1.pass();
        self.0.collect()
    }
}

fn request(token: TokenId, max_tokens: usize) -> Request {
    Request {
        prompt: vec![token],
        max_tokens,
        ..Request::default()
    }
}

fn submit(handle: &EngineHandle, request: Request) -> Result<Generation, SubmitError> {
    Ok(handle.submit(request, 1)?.remove(0))
}

/// What an engine that has ended has left to be read.
fn read(mut generation: Generation) -> Vec<Event> {
    let mut events = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    while generation.poll_next(&mut context, &mut events) == Poll::Ready(true) {}
    events
}

fn answer(token: TokenId, len: usize) -> Vec<Event> {
    let tokens = FakeRunner::expected(&[token], len, LIMITS.vocab_len);
    let token = |id| Event::Token(crate::sampling::ChosenToken { id, logprobs: None });
    let end = Event::Finished {
        reason: FinishReason::Length,
        stop_token: None,
    };
    [Event::Started { cached_len: 0 }]
        .into_iter()
        .chain(tokens.into_iter().map(token))
        .chain([end])
        .collect()
}

#[test]
fn of_two_that_want_the_last_place_one_gets_it_and_the_place_comes_back() {
    explore(|| {
        let only_one = EngineConfig {
            max_num_queued_reqs: 0,
            ..config(Overlap::Off)
        };
        let (handle, engine) = EngineHandle::prepare(FakeRunner::new(LIMITS), only_one);
        let taken = handle.0.taken.clone();
        let other = handle.clone();
        let other = thread::spawn(move || submit(&other, request(1, 1)));
        let results = [submit(&handle, request(1, 1)), other.join().unwrap()];
        drop(handle);
        engine.run().unwrap();
        let [result, refusal] = match results {
            [refused @ Err(_), taken] => [taken, refused],
            taken_first => taken_first,
        };
        assert_eq!(read(result.unwrap()), answer(1, 1));
        let overloaded = SubmitError::Overloaded { asked: 1, limit: 1 };
        assert_eq!(refusal.unwrap_err(), overloaded);
        assert_eq!(taken.load(Ordering::Acquire), 0);
    });
}

/// One client leaves at any moment, another stays.
fn one_leaves(overlap: Overlap) {
    explore(move || {
        let crossing = Crossing::default();
        let runner = Crossed(FakeRunner::new(LIMITS), crossing.clone());
        let (handle, engine) = EngineHandle::start(runner, config(overlap));
        let taken = handle.0.taken.clone();
        let fickle = handle.clone();
        let fickle = thread::spawn(move || {
            let generation = submit(&fickle, request(1, 2)).unwrap();
            crossing.pass();
            drop(generation);
        });
        let patient = submit(&handle, request(2, 2)).unwrap();
        drop(handle);
        fickle.join().unwrap();
        let result = engine.join().unwrap();
        result.expect("the books of the cache add up");
        assert_eq!(read(patient), answer(2, 2));
        assert_eq!(taken.load(Ordering::Acquire), 0);
    });
}

#[test]
fn a_client_that_leaves_costs_another_nothing() {
    one_leaves(Overlap::Off);
}

#[test]
fn a_client_that_leaves_while_steps_overlap_costs_another_nothing() {
    one_leaves(Overlap::On);
}

#[test]
fn the_engine_ends_whenever_its_last_handle_goes() {
    explore(|| {
        let (handle, engine) = EngineHandle::start(FakeRunner::new(LIMITS), config(Overlap::On));
        let other = handle.clone();
        let other = thread::spawn(move || drop(other));
        let generation = submit(&handle, request(1, 1)).unwrap();
        drop(handle);
        other.join().unwrap();
        // Loom fails a model whose threads wait for ever.
        engine.join().unwrap().unwrap();
        assert_eq!(read(generation), answer(1, 1));
    });
}

/// Any token may come.
struct AnyToken(Crossing);

impl AnyToken {
    fn next(&self) -> Result<Next, String> {
        self.0.pass();
        Ok(Next::Among(TokenMask::from_words([u32::MAX])))
    }
}

impl Constraint for AnyToken {
    fn start(&mut self) -> Result<Next, String> {
        self.next()
    }

    fn advance(&mut self, _: TokenId) -> Result<Next, String> {
        self.next()
    }

    fn fork(&self) -> Box<dyn Constraint> {
        Box::new(Self(self.0.clone()))
    }
}

#[test]
fn a_client_may_leave_while_its_constraint_is_being_moved_on() {
    explore(|| {
        let crossing = Crossing::default();
        let constrained = Request {
            constraint: Some(Box::new(AnyToken(crossing.clone()))),
            ..request(1, 2)
        };
        let (handle, engine) = EngineHandle::start(FakeRunner::new(LIMITS), config(Overlap::On));
        let taken = handle.0.taken.clone();
        let generation = submit(&handle, constrained).unwrap();
        drop(handle);
        crossing.pass();
        drop(generation);
        engine
            .join()
            .unwrap()
            .expect("the books of the cache add up");
        assert_eq!(taken.load(Ordering::Acquire), 0);
    });
}

#[test]
fn the_answer_of_a_constraint_always_wakes_the_engine() {
    explore(|| {
        let constrained = Request {
            constraint: Some(Box::new(AnyToken(Crossing::default()))),
            ..request(1, 2)
        };
        let (handle, engine) = EngineHandle::start(FakeRunner::new(LIMITS), config(Overlap::On));
        let generation = submit(&handle, constrained).unwrap();
        drop(handle);
        engine.join().unwrap().unwrap();
        assert_eq!(read(generation), answer(1, 2));
    });
}

#[test]
fn a_runner_that_breaks_leaves_nobody_without_an_end_however_late_they_come() {
    explore(|| {
        let gone = Some(StepError::Fatal("gone".into()));
        let runner = FakeRunner::new(LIMITS).with_failures([gone]);
        let (handle, engine) = EngineHandle::start(runner, config(Overlap::Off));
        let taken = handle.0.taken.clone();
        let late = handle.clone();
        let late = thread::spawn(move || submit(&late, request(1, 1)));
        let early = submit(&handle, request(1, 1));
        let late = late.join().unwrap();
        engine.join().unwrap().expect_err("the runner broke");
        for generation in [early, late] {
            match generation {
                Ok(generation) => {
                    let stopped = Event::Failed(GenerationFailed::Stopped);
                    assert_eq!(read(generation).last(), Some(&stopped));
                }
                Err(refusal) => assert_eq!(refusal, SubmitError::Stopped),
            }
        }
        assert_eq!(taken.load(Ordering::Acquire), 0);
    });
}
