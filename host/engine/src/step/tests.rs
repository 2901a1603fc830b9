use std::{
    collections::HashSet,
    sync::{Arc, atomic::AtomicUsize, mpsc},
};

use proptest::{collection::vec, prelude::*};

use super::Engine;
use crate::{
    fake::FakeRunner,
    request::{EngineConfig, Event, FinishReason, GenerationFailed, Request},
    runner::{RunnerLimits, StepError, TokenId},
    sampling::SamplingParams,
    sequence::{Place, Sequence},
    stats::EngineStats,
};

const VOCAB_LEN: usize = 97;

/// An engine that the test steps by hand.
struct Bench {
    engine: Engine<FakeRunner>,
    taken: Arc<AtomicUsize>,
    sender: mpsc::SyncSender<Sequence>,
}

type Events = tokio::sync::mpsc::Receiver<Event>;

impl Bench {
    fn new(runner: FakeRunner, max_num_seqs: usize, max_num_batched_tokens: usize) -> Self {
        let (sender, requests) = mpsc::sync_channel(1_000);
        let config = EngineConfig {
            max_num_seqs,
            max_num_batched_tokens,
            max_num_queued_reqs: 1_000,
        };
        let engine = Engine::new(runner, config, requests, Arc::<EngineStats>::default());
        Self {
            engine,
            taken: Arc::default(),
            sender,
        }
    }

    fn submit(
        &mut self,
        prompt: &[TokenId],
        max_tokens: usize,
        stop_token_ids: &[TokenId],
    ) -> Events {
        let (sender, events) = tokio::sync::mpsc::channel(max_tokens + 1);
        let request = Request {
            prompt: prompt.to_vec(),
            sampling: SamplingParams::default(),
            max_tokens,
            stop_token_ids: stop_token_ids.to_vec(),
        };
        let place =
            Place::take(&self.taken, 1_000).expect("a thousand places are enough for a test");
        self.sender
            .send(Sequence::new(request, sender, place))
            .expect("the engine is alive");
        events
    }

    fn step(&mut self) -> Result<(), StepError> {
        self.engine
            .requests
            .try_iter()
            .for_each(|sequence| self.engine.scheduler.add(sequence));
        let result = self.engine.step();
        self.assert_every_block_has_one_owner();
        result
    }

    fn assert_every_block_has_one_owner(&self) {
        let scheduler = &self.engine.scheduler;
        let owned: Vec<_> = scheduler
            .running()
            .iter()
            .flat_map(|s| s.blocks.as_slice())
            .collect();
        assert_eq!(
            owned.iter().collect::<HashSet<_>>().len(),
            owned.len(),
            "a block has two owners"
        );
        assert_eq!(
            owned.len() + scheduler.pool().num_free(),
            scheduler.pool().num_blocks(),
            "a block is lost"
        );
    }

    fn run_to_end(&mut self, most_steps: usize) {
        for _ in 0..most_steps {
            self.step().expect("the fake runner does not break");
            if self.engine.scheduler.is_idle() {
                return;
            }
        }
        panic!("sequences starve: not done after {most_steps} steps");
    }
}

fn limits(num_blocks: usize, block_len: usize) -> RunnerLimits {
    RunnerLimits {
        block_len,
        num_blocks,
        vocab_len: VOCAB_LEN,
        max_model_len: num_blocks * block_len,
    }
}

fn read(events: &mut Events) -> (Vec<TokenId>, Vec<Event>) {
    let mut tokens = Vec::new();
    let mut others = Vec::new();
    while let Ok(event) = events.try_recv() {
        match event {
            Event::Token(token) => tokens.push(token),
            other => others.push(other),
        }
    }
    (tokens, others)
}

const ENDED_BY_LENGTH: Event = Event::Finished {
    reason: FinishReason::Length,
    stop_token: None,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_schedule_gives_each_request_its_own_text_and_loses_no_block(
        requests in vec((vec(0..VOCAB_LEN as TokenId, 1..40), 1..30usize, 0..20usize, prop::option::of(0..25usize)), 1..12),
        max_num_seqs in 1..6usize,
        extra_budget in 0..40usize,
        block_len in 1..9usize,
        extra_blocks in 0..12usize,
    ) {
        // Enough blocks for the longest request alone, seldom for all of them together.
        let num_blocks = 70usize.div_ceil(block_len) + extra_blocks;
        let runner = FakeRunner::new(limits(num_blocks, block_len));
        let mut bench = Bench::new(runner, max_num_seqs, max_num_seqs + extra_budget);
        let mut live = Vec::new();
        for step in 0..2_000 {
            for (prompt, max_tokens, arrival, _) in requests.iter().filter(|request| request.2 == step) {
                live.push((prompt, *max_tokens, *arrival, bench.submit(prompt, *max_tokens, &[])));
            }
            for (prompt, _, arrival, cancel) in &requests {
                if cancel.is_some_and(|after| arrival + after == step) {
                    live.retain(|entry| !std::ptr::eq(entry.0, prompt));
                }
            }
            bench.step().unwrap();
            if step > 50 && bench.engine.scheduler.is_idle() {
                break;
            }
        }
        prop_assert!(bench.engine.scheduler.is_idle(), "sequences starve");
        prop_assert_eq!(bench.engine.scheduler.pool().num_free(), num_blocks);
        for (prompt, max_tokens, _, mut events) in live {
            let (tokens, others) = read(&mut events);
            prop_assert_eq!(tokens, FakeRunner::expected(prompt, max_tokens, VOCAB_LEN));
            prop_assert_eq!(others, vec![ENDED_BY_LENGTH]);
        }
        drop(bench.engine);
        prop_assert_eq!(bench.taken.load(std::sync::atomic::Ordering::SeqCst), 0, "a place was not given back");
    }
}

#[test]
fn a_request_joins_and_leaves_while_another_runs() {
    let mut bench = Bench::new(FakeRunner::new(limits(16, 4)), 4, 16);
    let mut long = bench.submit(&[1, 2, 3], 10, &[]);
    bench.step().unwrap();
    let mut short = bench.submit(&[4, 5], 2, &[]);
    bench.step().unwrap();
    bench.step().unwrap();
    assert_eq!(
        read(&mut short),
        (
            FakeRunner::expected(&[4, 5], 2, VOCAB_LEN),
            vec![ENDED_BY_LENGTH]
        )
    );
    assert_eq!(
        read(&mut long).0,
        FakeRunner::expected(&[1, 2, 3], 3, VOCAB_LEN)
    );
}

#[test]
fn running_sequences_get_a_token_in_every_step_while_a_long_prompt_comes_in() {
    let mut bench = Bench::new(FakeRunner::new(limits(64, 4)), 4, 8);
    let mut running = bench.submit(&[1], 30, &[]);
    bench.step().unwrap();
    let _long = bench.submit(&[7; 100], 1, &[]);
    for step in 2..=10 {
        bench.step().unwrap();
        assert_eq!(read(&mut running).0.len(), if step == 2 { 2 } else { 1 });
    }
    assert_eq!(
        bench.engine.scheduler.running()[1].computed_len,
        9 * 7,
        "the prompt takes what the budget leaves"
    );
}

#[test]
fn blocks_that_run_out_preempt_the_last_comer_and_change_no_text() {
    let mut bench = Bench::new(FakeRunner::new(limits(5, 4)), 4, 64);
    let mut requests =
        [[1, 2, 3], [4, 5, 6]].map(|prompt| (prompt, bench.submit(&prompt, 12, &[])));
    bench.run_to_end(100);
    assert!(bench.engine.scheduler.num_preemptions() > 0);
    for (prompt, events) in &mut requests {
        assert_eq!(
            read(events),
            (
                FakeRunner::expected(prompt, 12, VOCAB_LEN),
                vec![ENDED_BY_LENGTH]
            )
        );
    }
}

#[test]
fn a_dropped_receiver_frees_its_blocks_before_the_next_step() {
    let mut bench = Bench::new(FakeRunner::new(limits(8, 4)), 4, 64);
    let events = bench.submit(&[1; 20], 10, &[]);
    bench.step().unwrap();
    assert_eq!(bench.engine.scheduler.pool().num_free(), 3);
    drop(events);
    bench.step().unwrap();
    assert_eq!(bench.engine.scheduler.pool().num_free(), 8);
}

#[test]
fn a_stop_token_ends_the_sequence_and_is_not_part_of_it() {
    let expected = FakeRunner::expected(&[9], 8, VOCAB_LEN);
    let stop = expected[5];
    let before = expected.iter().position(|&token| token == stop).unwrap();
    let mut bench = Bench::new(FakeRunner::new(limits(8, 4)), 1, 8);
    let mut events = bench.submit(&[9], 8, &[stop]);
    bench.run_to_end(20);
    let end = Event::Finished {
        reason: FinishReason::Stop,
        stop_token: Some(stop),
    };
    assert_eq!(read(&mut events), (expected[..before].to_vec(), vec![end]));
}

#[test]
fn a_sequence_ends_where_the_context_does() {
    let mut bench = Bench::new(FakeRunner::new(limits(2, 4)), 1, 8);
    let mut events = bench.submit(&[1, 2, 3, 4, 5], 100, &[]);
    bench.run_to_end(20);
    assert_eq!(
        read(&mut events),
        (
            FakeRunner::expected(&[1, 2, 3, 4, 5], 3, VOCAB_LEN),
            vec![ENDED_BY_LENGTH]
        )
    );
}

#[test]
fn a_sequence_ends_where_the_pool_does_if_that_is_less_than_the_context() {
    let pool_of_two = RunnerLimits {
        max_model_len: 1_000,
        ..limits(2, 4)
    };
    let mut bench = Bench::new(FakeRunner::new(pool_of_two), 1, 8);
    let mut events = bench.submit(&[1, 2, 3, 4, 5], 100, &[]);
    bench.run_to_end(20);
    assert_eq!(read(&mut events).1, [ENDED_BY_LENGTH]);
}

#[test]
fn a_failed_step_ends_its_own_rows_and_no_others() {
    let failures = [None, Some(StepError::Failed("no".into()))];
    let mut bench = Bench::new(FakeRunner::new(limits(16, 4)).with_failures(failures), 1, 8);
    let mut hit = bench.submit(&[1], 5, &[]);
    let mut waiting = bench.submit(&[2], 5, &[]);
    bench.run_to_end(20);
    assert_eq!(
        read(&mut hit).1,
        [Event::Failed(GenerationFailed::Step("no".into()))]
    );
    assert_eq!(
        read(&mut waiting).0,
        FakeRunner::expected(&[2], 5, VOCAB_LEN)
    );
}

#[test]
fn a_broken_runner_ends_every_request_with_an_error() {
    let failures = [Some(StepError::Fatal("gone".into()))];
    let mut bench = Bench::new(FakeRunner::new(limits(16, 4)).with_failures(failures), 1, 8);
    let mut requests = [bench.submit(&[1], 5, &[]), bench.submit(&[2], 5, &[])];
    assert!(matches!(bench.step(), Err(StepError::Fatal(_))));
    for events in &mut requests {
        assert_eq!(
            read(events),
            (vec![], vec![Event::Failed(GenerationFailed::Stopped)])
        );
    }
}
