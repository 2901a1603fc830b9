//! Who gets what of a step.

use std::time::{Duration, Instant};

use super::bench::{Bench, ENDED_BY_LENGTH, config, expected, greedy, limits, read, residue};
use crate::{
    fake::FakeRunner,
    request::{EngineConfig, Event, FinishReason, GenerationFailed, Overlap, Request, Scheduling},
    runner::RunnerLimits,
    sampling::{ChosenToken, SamplingParams},
};

fn bench(num_blocks: usize, config: EngineConfig) -> Bench {
    Bench::new(FakeRunner::new(limits(num_blocks, 4)), config)
}

fn by_priority(max_num_seqs: usize, max_num_batched_tokens: usize) -> EngineConfig {
    EngineConfig {
        scheduling: Scheduling::Priority,
        ..config(max_num_seqs, max_num_batched_tokens)
    }
}

#[test]
fn a_request_joins_and_leaves_while_another_runs() {
    let mut bench = bench(16, config(4, 16));
    let mut long = bench.submit(greedy(&[1, 2, 3], 10));
    bench.step().unwrap();
    let mut short = bench.submit(greedy(&[4, 5], 2));
    bench.step().unwrap();
    bench.step().unwrap();
    assert_eq!(
        read(&mut short),
        (expected(&[4, 5], 2), vec![ENDED_BY_LENGTH])
    );
    assert_eq!(read(&mut long).0, expected(&[1, 2, 3], 3));
}

#[test]
fn running_sequences_get_a_token_in_every_step_while_a_long_prompt_comes_in() {
    let mut bench = bench(64, config(4, 8));
    let mut running = bench.submit(greedy(&[1], 30));
    bench.step().unwrap();
    let _long = bench.submit(greedy(&[7; 100], 1));
    for step in 2..=10 {
        bench.step().unwrap();
        assert_eq!(read(&mut running).0.len(), if step == 2 { 2 } else { 1 });
    }
    let steps = bench.engine.stats.snapshot();
    assert_eq!(
        steps.computed_tokens,
        1 + 9 * 8,
        "the prompt takes what the budget leaves"
    );
}

#[test]
fn a_long_prompt_that_goes_first_leaves_the_others_their_token_too() {
    let mut bench = bench(64, by_priority(2, 8));
    let mut late = bench.submit(Request {
        priority: 1,
        ..greedy(&[1], 30)
    });
    bench.step().unwrap();
    let _urgent = bench.submit(greedy(&[7; 80], 1));
    for _ in 0..8 {
        read(&mut late);
        bench.step().unwrap();
        assert_eq!(read(&mut late).0.len(), 1);
    }
}

#[test]
fn a_lower_number_goes_first_whenever_it_comes() {
    let mut bench = bench(16, by_priority(1, 8));
    let of = |priority| Request {
        priority,
        ..greedy(&[1, 2], 3)
    };
    let mut first = bench.submit(of(0));
    bench.step().unwrap();
    let mut later = [2, 1, -1].map(|priority| bench.submit(of(priority)));
    let mut order = Vec::new();
    for _ in 0..20 {
        bench.step().unwrap();
        for (name, events) in [(0, &mut first)].into_iter().chain((1..).zip(&mut later)) {
            if read(events).1 == [ENDED_BY_LENGTH] {
                order.push(name);
            }
        }
    }
    assert_eq!(order, [0, 3, 2, 1]);
}

#[test]
fn blocks_that_run_out_preempt_the_last_comer_and_change_no_text() {
    let mut bench = bench(5, config(4, 64));
    let mut requests =
        [[1, 2, 3], [4, 5, 6]].map(|prompt| (prompt, bench.submit(greedy(&prompt, 12))));
    bench.run_to_end(100);
    assert!(bench.engine.scheduler.counts().preemptions > 0);
    for (prompt, events) in &mut requests {
        assert_eq!(read(events), (expected(prompt, 12), vec![ENDED_BY_LENGTH]));
    }
}

#[test]
fn a_token_that_is_being_chosen_when_its_sequence_is_put_back_is_not_chosen_again() {
    let overlapped = EngineConfig {
        overlap: Overlap::On,
        ..config(4, 64)
    };
    let mut bench = bench(5, overlapped);
    let mut requests =
        [[1, 2, 3], [4, 5, 6]].map(|prompt| (prompt, bench.submit(greedy(&prompt, 12))));
    bench.run_to_end(100);
    assert!(bench.engine.scheduler.counts().preemptions > 0);
    for (prompt, events) in &mut requests {
        assert_eq!(read(events), (expected(prompt, 12), vec![ENDED_BY_LENGTH]));
    }
    assert_eq!(bench.engine.stats.snapshot().generated_tokens, 2 * 12);
}

#[test]
fn blocks_that_run_out_preempt_the_least_urgent() {
    let mut bench = bench(5, by_priority(4, 64));
    let mut least_urgent = bench.submit(Request {
        priority: 9,
        ..greedy(&[1, 2, 3], 12)
    });
    bench.step().unwrap();
    let mut urgent = bench.submit(greedy(&[4, 5, 6], 12));
    while read(&mut urgent).1.is_empty() {
        bench.step().unwrap();
    }
    assert!(read(&mut least_urgent).1.is_empty(), "it had to wait");
    assert!(bench.engine.scheduler.counts().preemptions > 0);
}

#[test]
fn what_is_admitted_leaves_the_others_the_block_that_they_need_next() {
    let mut bench = bench(3, config(2, 64));
    let prompt = [1, 2, 3, 4, 5, 6, 7];
    let mut running = bench.submit(greedy(&prompt, 5));
    bench.step().unwrap();
    // One block is free, which the first needs in two steps.
    let mut waiting = bench.submit(greedy(&[9], 3));
    bench.run_to_end(20);
    assert_eq!(read(&mut running).0, expected(&prompt, 5));
    assert_eq!(read(&mut waiting).0, expected(&[9], 3));
    assert_eq!(bench.engine.scheduler.counts().preemptions, 0);
}

#[test]
fn a_short_prompt_does_not_overtake_a_long_one_that_waits_for_blocks() {
    let mut bench = bench(8, config(4, 64));
    let _running = bench.submit(greedy(&[7; 16], 12));
    bench.step().unwrap();
    let mut long = bench.submit(greedy(&[8; 20], 2));
    let mut short = bench.submit(greedy(&[9], 1));
    bench.step().unwrap();
    assert!(bench.num_free() > 1, "there is room for the short one");
    while long.try_next().is_none() {
        assert!(short.try_next().is_none());
        bench.step().unwrap();
    }
}

#[test]
fn a_dropped_receiver_frees_its_blocks_before_the_next_step() {
    let mut bench = bench(8, config(4, 64));
    let events = bench.submit(greedy(&[1; 20], 10));
    bench.step().unwrap();
    assert_eq!(bench.num_free(), 3);
    drop(events);
    bench.step().unwrap();
    assert_eq!((bench.num_free(), bench.num_taken()), (8, 0));
}

#[test]
fn a_deadline_ends_a_sequence_wherever_it_is() {
    let mut bench = bench(8, config(1, 64));
    let now = Instant::now();
    let until = |deadline| Request {
        deadline: Some(deadline),
        ..greedy(&[1, 2], 10)
    };
    let mut patient = bench.submit(until(now + Duration::from_secs(3600)));
    let mut waiting = bench.submit(until(now));
    bench.step().unwrap();
    let failed = vec![Event::Failed(GenerationFailed::DeadlineExceeded)];
    assert_eq!(read(&mut waiting), (vec![], failed.clone()));
    bench
        .engine
        .scheduler
        .drop_unwanted(now + Duration::from_secs(3600));
    assert_eq!(read(&mut patient), (expected(&[1, 2], 1), failed));
    assert_eq!(bench.num_free(), 8);
}

#[test]
fn a_stop_token_ends_the_sequence_and_is_not_part_of_it() {
    let all = expected(&[9], 8);
    let stop = all[5];
    let before = all.iter().position(|&token| token == stop).unwrap();
    let mut bench = bench(8, config(1, 8));
    let mut events = bench.submit(Request {
        sampling: SamplingParams {
            stop_token_ids: vec![stop],
            ..SamplingParams::default()
        },
        ..greedy(&[9], 8)
    });
    bench.run_to_end(20);
    let end = Event::Finished {
        reason: FinishReason::Stop,
        stop_token: Some(ChosenToken {
            id: stop,
            logprobs: None,
        }),
    };
    assert_eq!(read(&mut events), (all[..before].to_vec(), vec![end]));
}

#[test]
fn a_sequence_ends_where_the_context_does() {
    let mut bench = bench(2, config(1, 8));
    let mut events = bench.submit(greedy(&[1, 2, 3, 4, 5], 100));
    bench.run_to_end(20);
    assert_eq!(
        read(&mut events),
        (expected(&[1, 2, 3, 4, 5], 3), vec![ENDED_BY_LENGTH])
    );
}

#[test]
fn a_sequence_ends_where_the_pool_does_if_that_is_less_than_the_context() {
    let pool_of_two = RunnerLimits {
        max_model_len: 1_000,
        ..limits(2, 4)
    };
    let mut bench = Bench::new(FakeRunner::new(pool_of_two), config(1, 8));
    let mut events = bench.submit(greedy(&[1, 2, 3, 4, 5], 100));
    bench.run_to_end(20);
    assert_eq!(read(&mut events).1, [ENDED_BY_LENGTH]);
}

#[test]
fn a_sequence_that_takes_its_slot_before_it_can_compute_anything_is_in_it_later() {
    let mut bench = bench(8, config(1, 8));
    let mut events = bench.submit(Request {
        constraint: Some(Box::new(residue(2, 3))),
        // Its one token waits until the next one may be chosen.
        ..greedy(&[1], 5)
    });
    bench.run_to_end(20);
    let (tokens, others) = read(&mut events);
    assert_eq!(tokens.len(), 3);
    let end = Event::Finished {
        reason: FinishReason::Stop,
        stop_token: None,
    };
    assert_eq!(others, [end]);
}
