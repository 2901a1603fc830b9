//! What is computed once and used twice; what is guessed.

use super::bench::{Bench, ENDED_BY_LENGTH, config, expected, greedy, limits, read};
use crate::{
    block::Caching,
    draft::Drafter,
    fake::FakeRunner,
    request::{EngineConfig, Event, Overlap, Request},
    runner::TokenId,
    sampling::SamplingParams,
};

fn prompt(len: u32) -> Vec<TokenId> {
    (0..len).collect()
}

fn cached_len(events: &mut super::bench::Events) -> usize {
    match events.try_next() {
        Some(Event::Started { cached_len }) => cached_len,
        other => panic!("a sequence begins with its start, not {other:?}"),
    }
}

#[test]
fn a_prompt_that_comes_again_is_computed_but_for_its_end() {
    let mut bench = Bench::new(FakeRunner::new(limits(16, 4)), config(2, 64));
    let mut first = bench.submit(greedy(&prompt(18), 3));
    bench.run_to_end(10);
    let mut again = bench.submit(greedy(&prompt(18), 3));
    bench.run_to_end(10);
    assert_eq!([cached_len(&mut first), cached_len(&mut again)], [0, 16]);
    assert_eq!(read(&mut again).0, read(&mut first).0);
    let stats = bench.engine.stats.snapshot();
    assert_eq!((stats.prefix_queries, stats.prefix_hits), (36, 16));
}

#[test]
fn the_answer_is_found_too_when_it_comes_back_in_the_next_prompt() {
    let mut bench = Bench::new(FakeRunner::new(limits(16, 4)), config(2, 64));
    let mut first = bench.submit(greedy(&prompt(6), 7));
    bench.run_to_end(10);
    let conversation = [prompt(6), read(&mut first).0, vec![50]].concat();
    let mut second = bench.submit(greedy(&conversation, 1));
    bench.run_to_end(10);
    // The last token of the answer was never computed: 12 of 13 are in the cache.
    assert_eq!(cached_len(&mut second), 12);
}

#[test]
fn samples_share_the_blocks_of_their_prompt_whether_it_is_cached_or_not() {
    for prefix_caching in [Caching::On, Caching::Off] {
        for overlap in [Overlap::On, Overlap::Off] {
            let config = EngineConfig {
                prefix_caching,
                overlap,
                ..config(4, 64)
            };
            let mut bench = Bench::new(FakeRunner::new(limits(64, 4)), config);
            let sampling = SamplingParams {
                temperature: 1.5,
                seed: 5,
                ..SamplingParams::default()
            };
            let request = Request {
                sampling: sampling.clone(),
                ..greedy(&prompt(33), 10)
            };
            let mut samples = bench.submit_samples(request, 4);
            while bench.engine.scheduler.num_running() < 4 {
                bench.step().unwrap();
            }
            // 8 blocks of the prompt, and one or two for the end of each.
            let num_used = 64 - bench.num_free();
            assert!(num_used <= 8 + 4 * 2, "{num_used} blocks in use");
            bench.run_to_end(40);
            let mut texts = Vec::new();
            for (index, events) in samples.iter_mut().enumerate() {
                assert_eq!(cached_len(events), if index == 0 { 0 } else { 32 });
                let own = SamplingParams {
                    seed: 5 + index as u64,
                    ..sampling.clone()
                };
                let (text, _) = read(events);
                assert_eq!(text, FakeRunner::expected_with(&prompt(33), 10, 97, &own));
                texts.push(text);
            }
            texts.dedup();
            assert_eq!(texts.len(), 4, "each sample draws for itself");
        }
    }
}

#[test]
fn samples_go_on_when_the_first_is_cancelled() {
    let mut bench = Bench::new(FakeRunner::new(limits(64, 4)), config(4, 8));
    let mut samples = bench.submit_samples(greedy(&prompt(33), 5), 3);
    bench.step().unwrap();
    drop(samples.remove(0));
    bench.run_to_end(40);
    for events in &mut samples {
        assert_eq!(
            read(events),
            (expected(&prompt(33), 5), vec![ENDED_BY_LENGTH])
        );
    }
}

#[test]
fn overlapped_steps_waste_one_row_where_only_the_token_shows_the_end() {
    let steps = |overlap, stop_token_ids: Vec<TokenId>| {
        let config = EngineConfig {
            overlap,
            ..config(1, 8)
        };
        let mut bench = Bench::new(FakeRunner::new(limits(8, 4)), config);
        let mut events = bench.submit(Request {
            sampling: SamplingParams {
                stop_token_ids,
                ..SamplingParams::default()
            },
            ..greedy(&[9], 4)
        });
        bench.run_to_end(20);
        (
            read(&mut events).0.len(),
            bench.engine.stats.snapshot().steps,
        )
    };
    assert_eq!(steps(Overlap::Off, vec![]), (4, 4));
    assert_eq!(
        steps(Overlap::On, vec![]),
        (4, 4),
        "a length is known beforehand"
    );
    let stop = vec![expected(&[9], 3)[2]];
    assert_eq!(steps(Overlap::Off, stop.clone()), (2, 3));
    assert_eq!(steps(Overlap::On, stop), (2, 4));
}

#[test]
fn overlapped_steps_follow_each_other_without_a_gap() {
    let config = EngineConfig {
        overlap: Overlap::On,
        ..config(2, 8)
    };
    let mut bench = Bench::new(FakeRunner::new(limits(16, 4)), config);
    let _running = [1, 2].map(|token| bench.submit(greedy(&[token], 10)));
    for turn in 1..=10 {
        bench.step().unwrap();
        assert_eq!(bench.engine.stats.snapshot().steps, turn);
    }
}

/// Guesses what comes.
struct Right;
impl Drafter for Right {
    fn draft(&mut self, tokens: &[TokenId], max_len: usize) -> Vec<TokenId> {
        expected(tokens, max_len)
    }
}

#[test]
fn right_guesses_save_steps_and_are_counted() {
    let config = EngineConfig {
        num_draft_tokens: 3,
        ..config(1, 16)
    };
    let runner = FakeRunner::new(limits(16, 4));
    let mut bench = Bench::with_drafter(runner, config, Some(Box::new(Right)));
    let mut events = bench.submit(greedy(&[1, 2], 14));
    bench.run_to_end(10);
    assert_eq!(
        read(&mut events),
        (expected(&[1, 2], 14), vec![ENDED_BY_LENGTH])
    );
    let stats = bench.engine.stats.snapshot();
    // The prompt gives one token; then 4, 4, 4, and the last with no guess, since nothing may follow it.
    assert_eq!(stats.steps, 5);
    assert_eq!(
        (stats.drafts, stats.draft_tokens, stats.accepted_tokens),
        (3, 9, 9)
    );
}

#[test]
fn guesses_are_taken_off_the_budget_of_a_step() {
    let config = EngineConfig {
        num_draft_tokens: 3,
        ..config(4, 8)
    };
    let runner = FakeRunner::new(limits(64, 4));
    let mut bench = Bench::with_drafter(runner, config, Some(Box::new(Right)));
    let _guessed = [1, 2].map(|token| bench.submit(greedy(&[token], 40)));
    bench.step().unwrap();
    let _long = bench.submit(greedy(&[7; 60], 1));
    for _ in 0..5 {
        let before = bench.engine.stats.snapshot().computed_tokens;
        bench.step().unwrap();
        let computed = bench.engine.stats.snapshot().computed_tokens - before;
        assert_eq!(computed, 8, "two with three guesses each leave nothing");
    }
}
