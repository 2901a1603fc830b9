//! What fails takes down what it must and nothing else.

use super::bench::{Bench, ENDED_BY_LENGTH, VOCAB_LEN, config, expected, greedy, limits, read};
use crate::{
    constraint::{Constraint, Next},
    fake::FakeRunner,
    request::{EngineConfig, Event, GenerationFailed, Overlap, Request},
    runner::{StepError, TokenId},
};

const OVERLAPS: [Overlap; 2] = [Overlap::On, Overlap::Off];

fn failed(why: &str) -> Vec<Event> {
    vec![Event::Failed(GenerationFailed::Step(why.into()))]
}

#[test]
fn only_the_row_that_a_step_fails_for_ends() {
    for overlap in OVERLAPS {
        let poison = expected(&[2], 3)[2];
        let is_clean =
            |token: &TokenId| *token != poison && !expected(&[*token], 6).contains(&poison);
        let mut clean = (3..).filter(is_clean);
        let others = [clean.next().unwrap(), clean.next().unwrap()];
        let runner = FakeRunner::new(limits(16, 4)).with_poison(poison);
        let overlapped = EngineConfig {
            overlap,
            ..config(3, 16)
        };
        let mut bench = Bench::new(runner, overlapped);
        let prompts = [others[0], 2, others[1]];
        let mut requests = prompts.map(|token| bench.submit(greedy(&[token], 6)));
        bench.run_to_end(40);
        let [first, hit, last] = &mut requests;
        assert_eq!(read(hit), (expected(&[2], 3), failed("poison")));
        for (prompt, events) in others.into_iter().zip([first, last]) {
            let whole = (expected(&[prompt], 6), vec![ENDED_BY_LENGTH]);
            assert_eq!(read(events), whole);
        }
    }
}

#[test]
fn a_step_that_fails_once_costs_nobody_anything() {
    for overlap in OVERLAPS {
        let failures = [None, Some(StepError::Failed("once".into()))];
        let runner = FakeRunner::new(limits(16, 4)).with_failures(failures);
        let overlapped = EngineConfig {
            overlap,
            ..config(2, 16)
        };
        let mut bench = Bench::new(runner, overlapped);
        let mut requests = [1, 2].map(|token| (token, bench.submit(greedy(&[token], 6))));
        bench.run_to_end(40);
        for (token, events) in &mut requests {
            assert_eq!(
                read(events),
                (expected(&[*token], 6), vec![ENDED_BY_LENGTH])
            );
        }
    }
}

#[test]
fn a_broken_runner_ends_every_request_with_an_error() {
    let failures = [Some(StepError::Fatal("gone".into()))];
    let runner = FakeRunner::new(limits(16, 4)).with_failures(failures);
    let mut bench = Bench::new(runner, config(1, 8));
    let mut requests = [1, 2].map(|token| bench.submit(greedy(&[token], 5)));
    assert!(matches!(bench.step(), Err(StepError::Fatal(_))));
    for events in &mut requests {
        let stopped = Event::Failed(GenerationFailed::Stopped);
        assert_eq!(read(events), (vec![], vec![stopped]));
    }
    assert_eq!(bench.num_taken(), 0);
}

#[test]
fn a_row_that_fails_alone_ends_its_own_sequence_and_is_counted_once() {
    for overlap in OVERLAPS {
        let overlapped = EngineConfig {
            overlap,
            ..config(2, 16)
        };
        let mut bench = Bench::new(FakeRunner::new(limits(128, 4)), overlapped);
        let mut leaves_no_choice = greedy(&[1], 150);
        // Every token would stop it, and it must not stop yet.
        leaves_no_choice.sampling.stop_token_ids = (0..VOCAB_LEN as TokenId).collect();
        leaves_no_choice.sampling.min_tokens = 3;
        let mut hit = bench.submit(leaves_no_choice);
        let mut other = bench.submit(greedy(&[2], 150));
        bench.run_to_end(200);
        let (_, others) = read(&mut hit);
        assert!(matches!(
            others[..],
            [Event::Failed(GenerationFailed::Step(_))]
        ));
        assert_eq!(
            read(&mut other),
            (expected(&[2], 150), vec![ENDED_BY_LENGTH])
        );
        assert_eq!(bench.engine.stats.snapshot().failed_rows, 1);
    }
}

#[test]
fn what_a_failed_step_would_have_computed_is_not_found_later() {
    let by_chance = || Some(StepError::Failed("by chance".into()));
    // The third step would fill a block, and fails again when it is tried alone; the fourth was launched in between.
    let failures = [None, None, by_chance(), None, by_chance()];
    let runner = FakeRunner::new(limits(16, 4)).with_failures(failures);
    let overlapped = EngineConfig {
        overlap: Overlap::On,
        ..config(2, 16)
    };
    let mut bench = Bench::new(runner, overlapped);
    let mut hit = bench.submit(greedy(&[1, 2], 8));
    bench.run_to_end(20);
    assert_eq!(read(&mut hit), (expected(&[1, 2], 2), failed("by chance")));
    let again = [vec![1, 2], expected(&[1, 2], 3)].concat();
    let mut again_events = bench.submit(greedy(&again, 5));
    bench.run_to_end(20);
    assert_eq!(
        read(&mut again_events),
        (expected(&again, 5), vec![ENDED_BY_LENGTH])
    );
}

/// A constraint that gives up, one way or the other, at the second token.
#[derive(Clone)]
struct Broken {
    panics: bool,
}

impl Constraint for Broken {
    fn start(&mut self) -> Result<Next, String> {
        let every_token = crate::constraint::TokenMask::from_words([u32::MAX; 4]);
        Ok(Next::Among(every_token))
    }

    fn advance(&mut self, _: TokenId) -> Result<Next, String> {
        assert!(!self.panics, "a panic on purpose");
        Err("out of its depth".into())
    }

    fn fork(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }
}

#[test]
fn a_constraint_that_fails_or_panics_ends_its_own_sequence_only() {
    for (panics, why) in [
        (false, "out of its depth"),
        (true, "the constraint panicked"),
    ] {
        let mut bench = Bench::new(FakeRunner::new(limits(16, 4)), config(2, 8));
        let mut broken = bench.submit(Request {
            constraint: Some(Box::new(Broken { panics })),
            ..greedy(&[1], 5)
        });
        let mut sound = bench.submit(greedy(&[2], 5));
        bench.run_to_end(40);
        let failed = Event::Failed(GenerationFailed::Constraint(why.into()));
        assert_eq!(read(&mut broken), (expected(&[1], 1), vec![failed]));
        assert_eq!(read(&mut sound), (expected(&[2], 5), vec![ENDED_BY_LENGTH]));
    }
}
