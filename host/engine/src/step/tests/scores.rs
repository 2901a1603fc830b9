//! How likely a prompt was.

use super::bench::{
    Bench, ENDED_BY_LENGTH, Said, VOCAB_LEN, config, expected, greedy, limits, read,
    read_with_scores,
};
use crate::{
    block::Caching,
    fake::FakeRunner,
    request::{EngineConfig, Event, Overlap, Request},
    runner::TokenId,
    sampling::ChosenToken,
};

const OVERLAPS: [Overlap; 2] = [Overlap::On, Overlap::Off];

fn prompt(len: u32) -> Vec<TokenId> {
    (0..len).collect()
}

fn scored(prompt: &[TokenId], max_tokens: usize) -> Request {
    Request {
        prompt_logprobs: Some(2),
        ..greedy(prompt, max_tokens)
    }
}

fn scores(prompt: &[TokenId]) -> Vec<ChosenToken> {
    FakeRunner::expected_scores(prompt, 2, VOCAB_LEN)
}

fn whole(prompt: &[TokenId], max_tokens: usize) -> Said {
    Said {
        scores: scores(prompt),
        tokens: expected(prompt, max_tokens),
        others: vec![ENDED_BY_LENGTH],
    }
}

#[test]
fn a_prompt_is_reported_in_the_parts_that_it_is_computed_in_and_before_its_answer() {
    for overlap in OVERLAPS {
        let overlapped = EngineConfig {
            overlap,
            ..config(2, 8)
        };
        let mut bench = Bench::new(FakeRunner::new(limits(16, 4)), overlapped);
        let mut events = bench.submit(scored(&prompt(20), 2));
        bench.run_to_end(10);
        let all = scores(&prompt(20));
        assert_eq!(events.try_next(), Some(Event::Started { cached_len: 0 }));
        for part in [0..8, 8..16, 16..19] {
            assert_eq!(events.try_next(), Some(Event::Prompt(all[part].to_vec())));
        }
        let answer = (expected(&prompt(20), 2), vec![ENDED_BY_LENGTH]);
        assert_eq!(read(&mut events), answer);
    }
}

#[test]
fn a_prompt_that_is_to_be_reported_is_computed_though_it_is_cached_and_can_be_found_by_others() {
    for asked in [[None, Some(2)], [Some(2), None]] {
        let mut bench = Bench::new(FakeRunner::new(limits(32, 4)), config(2, 64));
        for (number, prompt_logprobs) in asked.into_iter().enumerate() {
            let mut events = bench.submit(Request {
                prompt_logprobs,
                ..greedy(&prompt(18), 3)
            });
            bench.run_to_end(10);
            let cached_len = match prompt_logprobs {
                None => 16 * number,
                Some(_) => 0,
            };
            assert_eq!(events.try_next(), Some(Event::Started { cached_len }));
            let said = read_with_scores(&mut events);
            let scores = prompt_logprobs.map(|_| scores(&prompt(18)));
            assert_eq!(said.scores, scores.unwrap_or_default());
            assert_eq!(said.tokens, expected(&prompt(18), 3));
        }
    }
}

#[test]
fn a_prompt_that_is_put_back_midway_goes_on_where_its_report_ended() {
    for overlap in OVERLAPS {
        for prefix_caching in [Caching::On, Caching::Off] {
            let overlapped = EngineConfig {
                overlap,
                prefix_caching,
                ..config(2, 2)
            };
            let mut bench = Bench::new(FakeRunner::new(limits(12, 4)), overlapped);
            // One token a step for each: their blocks run out before the prompt is at its end.
            let mut first = bench.submit(greedy(&[1], 40));
            let mut second = bench.submit(scored(&prompt(30), 3));
            while bench.engine.scheduler.counts().preemptions == 0 {
                bench.step().unwrap();
            }
            let mut said = read_with_scores(&mut second);
            assert!((1..29).contains(&said.scores.len()), "it was midway");
            bench.run_to_end(200);
            let rest = read_with_scores(&mut second);
            said.scores.extend(rest.scores);
            assert_eq!(said.scores, scores(&prompt(30)));
            assert_eq!(rest.tokens, expected(&prompt(30), 3));
            assert_eq!(read(&mut first).0, expected(&[1], 40));
        }
    }
}

#[test]
fn of_several_samples_the_first_reports_the_prompt() {
    for prefix_caching in [Caching::On, Caching::Off] {
        let sharing = EngineConfig {
            prefix_caching,
            ..config(3, 8)
        };
        let mut bench = Bench::new(FakeRunner::new(limits(32, 4)), sharing);
        let mut samples = bench.submit_samples(scored(&prompt(18), 2), 3);
        bench.run_to_end(20);
        assert_eq!(read_with_scores(&mut samples[0]), whole(&prompt(18), 2));
        for sample in &mut samples[1..] {
            assert_eq!(sample.try_next(), Some(Event::Started { cached_len: 16 }));
            assert_eq!(read(sample).0, expected(&prompt(18), 2));
        }
    }
}

#[test]
fn a_prompt_of_one_token_has_nothing_before_it_to_be_likely_by() {
    let mut bench = Bench::new(FakeRunner::new(limits(8, 4)), config(1, 8));
    let mut events = bench.submit(scored(&[7], 2));
    bench.run_to_end(10);
    assert_eq!(read_with_scores(&mut events), whole(&[7], 2));
    assert_eq!(whole(&[7], 2).scores, []);
}

#[test]
fn a_client_that_reads_nothing_until_the_end_misses_no_part_of_its_prompt() {
    // A part for each token.
    let mut bench = Bench::new(FakeRunner::new(limits(16, 4)), config(1, 1));
    let mut events = bench.submit(scored(&prompt(30), 5));
    bench.run_to_end(50);
    assert_eq!(read_with_scores(&mut events), whole(&prompt(30), 5));
}
