//! Texts that become vectors.

use std::time::{Duration, Instant};

use super::bench::{
    Bench, ENDED_BY_LENGTH, HIDDEN_LEN, config, expected, greedy, limits, read, try_vector,
};
use crate::{
    block::Caching,
    fake::FakeRunner,
    request::{
        EmbeddingRequest, EngineConfig, GenerationFailed, Overlap, Pooling, Request, Scheduling,
    },
    runner::{StepError, TokenId},
};

const POOLINGS: [Pooling; 2] = [Pooling::Last, Pooling::Mean];

fn text(len: u32) -> Vec<TokenId> {
    (0..len).collect()
}

fn embed(tokens: &[TokenId], pooling: Pooling) -> EmbeddingRequest {
    EmbeddingRequest {
        tokens: tokens.to_vec(),
        pooling,
        ..EmbeddingRequest::default()
    }
}

fn vector(tokens: &[TokenId], pooling: Pooling) -> Vec<f32> {
    FakeRunner::expected_embedding(tokens, pooling, HIDDEN_LEN)
}

fn computed(bench: &Bench) -> u64 {
    bench.engine.stats.snapshot().computed_tokens
}

#[test]
fn a_text_becomes_its_vector_in_any_parts_beside_others_and_leaves_nothing_behind() {
    for overlap in [Overlap::On, Overlap::Off] {
        for budget in [4, 7, 64] {
            let overlapped = EngineConfig {
                overlap,
                ..config(4, budget)
            };
            let mut bench = Bench::new(FakeRunner::new(limits(32, 4)), overlapped);
            let mut answer = bench.submit(greedy(&[1, 2], 8));
            let mut embeddings = POOLINGS.map(|pooling| bench.embed(embed(&text(21), pooling)));
            bench.run_to_end(50);
            for (pooling, embedding) in POOLINGS.into_iter().zip(&mut embeddings) {
                assert_eq!(try_vector(embedding), Some(Ok(vector(&text(21), pooling))));
            }
            assert_eq!(
                read(&mut answer),
                (expected(&[1, 2], 8), vec![ENDED_BY_LENGTH])
            );
            assert_eq!((bench.num_free(), bench.num_taken()), (32, 0));
            let stats = bench.engine.stats.snapshot();
            assert_eq!(stats.generated_tokens, 8, "none is chosen for a vector");
        }
    }
}

#[test]
fn the_last_state_takes_its_beginning_from_the_cache_and_the_mean_computes_all() {
    for (pooling, computed_again) in [(Pooling::Last, 2), (Pooling::Mean, 18)] {
        let mut bench = Bench::new(FakeRunner::new(limits(32, 4)), config(2, 64));
        let mut first = bench.submit(greedy(&text(18), 1));
        bench.run_to_end(10);
        assert_eq!(read(&mut first).1, [ENDED_BY_LENGTH]);
        let before = computed(&bench);
        let mut embedding = bench.embed(embed(&text(18), pooling));
        bench.run_to_end(10);
        assert_eq!(computed(&bench) - before, computed_again);
        assert_eq!(
            try_vector(&mut embedding),
            Some(Ok(vector(&text(18), pooling)))
        );
    }
}

#[test]
fn a_text_that_is_put_back_midway_counts_each_of_its_states_once() {
    for prefix_caching in [Caching::On, Caching::Off] {
        for overlap in [Overlap::On, Overlap::Off] {
            for pooling in POOLINGS {
                let tight = EngineConfig {
                    overlap,
                    prefix_caching,
                    ..config(2, 2)
                };
                let mut bench = Bench::new(FakeRunner::new(limits(12, 4)), tight);
                let mut first = bench.submit(greedy(&[1], 40));
                let mut embedding = bench.embed(embed(&text(30), pooling));
                bench.run_to_end(200);
                assert!(bench.engine.scheduler.counts().preemptions > 0);
                let whole = vector(&text(30), pooling);
                assert_eq!(try_vector(&mut embedding), Some(Ok(whole)));
                assert_eq!(read(&mut first).0, expected(&[1], 40));
            }
        }
    }
}

#[test]
fn a_text_whose_client_leaves_frees_its_blocks_before_the_next_step() {
    let mut bench = Bench::new(FakeRunner::new(limits(8, 4)), config(2, 8));
    let embedding = bench.embed(embed(&text(20), Pooling::Mean));
    bench.step().unwrap();
    assert_eq!(bench.num_free(), 6);
    drop(embedding);
    bench.step().unwrap();
    assert_eq!((bench.num_free(), bench.num_taken()), (8, 0));
}

#[test]
fn a_deadline_ends_a_text_wherever_it_is() {
    let mut bench = Bench::new(FakeRunner::new(limits(8, 4)), config(1, 8));
    let now = Instant::now();
    let until = |deadline| EmbeddingRequest {
        deadline: Some(deadline),
        ..embed(&text(20), Pooling::Mean)
    };
    let mut patient = bench.embed(until(now + Duration::from_secs(3600)));
    let mut waiting = bench.embed(until(now));
    bench.step().unwrap();
    let late = Some(Err(GenerationFailed::DeadlineExceeded));
    assert_eq!(try_vector(&mut waiting), late);
    assert_eq!(try_vector(&mut patient), None);
    let later = now + Duration::from_secs(3600);
    bench.engine.scheduler.drop_unwanted(later);
    assert_eq!(try_vector(&mut patient), late);
    assert_eq!((bench.num_free(), bench.num_taken()), (8, 0));
}

#[test]
fn a_lower_number_goes_first_among_texts_and_prompts() {
    let by_priority = EngineConfig {
        scheduling: Scheduling::Priority,
        ..config(1, 8)
    };
    let mut bench = Bench::new(FakeRunner::new(limits(16, 4)), by_priority);
    let mut later = bench.submit(Request {
        priority: 1,
        ..greedy(&[1, 2], 3)
    });
    let mut urgent = bench.embed(EmbeddingRequest {
        priority: -1,
        ..embed(&text(5), Pooling::Last)
    });
    bench.step().unwrap();
    assert!(try_vector(&mut urgent).is_some());
    assert_eq!(later.try_next(), None);
}

#[test]
fn only_the_text_that_a_step_fails_for_fails() {
    for pooling in POOLINGS {
        let runner = FakeRunner::new(limits(16, 4)).with_poison(9);
        let mut bench = Bench::new(runner, config(3, 8));
        let texts = [vec![1, 2, 3], vec![4, 9], vec![5, 6]];
        let mut embeddings = texts
            .each_ref()
            .map(|tokens| bench.embed(embed(tokens, pooling)));
        bench.run_to_end(20);
        let poisoned = Err(GenerationFailed::Step("poison".into()));
        for (tokens, embedding) in texts.iter().zip(&mut embeddings) {
            let outcome = match tokens.contains(&9) {
                true => poisoned.clone(),
                false => Ok(vector(tokens, pooling)),
            };
            assert_eq!(try_vector(embedding), Some(outcome));
        }
    }
}

#[test]
fn a_broken_runner_ends_every_text_with_an_error() {
    let failures = [Some(StepError::Fatal("gone".into()))];
    let runner = FakeRunner::new(limits(16, 4)).with_failures(failures);
    let mut bench = Bench::new(runner, config(1, 8));
    let mut embeddings = POOLINGS.map(|pooling| bench.embed(embed(&text(3), pooling)));
    assert!(matches!(bench.step(), Err(StepError::Fatal(_))));
    for embedding in &mut embeddings {
        assert_eq!(try_vector(embedding), Some(Err(GenerationFailed::Stopped)));
    }
}
