//! Everybody gets their own answer, whatever goes on beside them.

use engine::{
    CacheScope, Caching, EngineConfig, Event, KvEvent, Overlap, SamplingParams, TokenId,
    fake::FakeRunner,
};

use crate::support::{
    answer, collect, config, every_way, hot, is_at_rest, request, sampling, start, submit, tokens,
    until,
};

#[tokio::test]
async fn eight_requests_at_once_each_get_their_own_answer() {
    for (handle, thread) in every_way(&config()) {
        let prompts: Vec<[TokenId; 3]> = (0..8).map(|i| [i, i + 1, i + 2]).collect();
        let running: Vec<_> = prompts
            .iter()
            .map(|prompt| submit(&handle, request(prompt, 20)))
            .collect();
        for (prompt, generation) in prompts.iter().zip(running) {
            assert_eq!(generation.prompt_len(), 3);
            assert_eq!(collect(generation).await, answer(prompt, 20));
        }
        drop(handle);
        thread.join().unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_text_does_not_depend_on_how_its_engine_is_run() {
    let settings = [
        SamplingParams::default(),
        sampling(7),
        SamplingParams {
            repetition_penalty: 1.3,
            presence_penalty: 0.5,
            frequency_penalty: 0.25,
            logprobs: Some(2),
            ..sampling(8)
        },
        SamplingParams {
            stop_token_ids: (0..50).filter(|token| token % 9 == 0).collect(),
            min_tokens: 3,
            ..sampling(9)
        },
    ];
    let mut texts = Vec::new();
    for (handle, _thread) in every_way(&config()) {
        let running = settings.clone().map(|sampling| {
            let mut request = request(&[1, 2, 3, 4, 5], 25);
            request.sampling = sampling;
            // What is cached differs from run to run.
            request.scope.salt = Some(request.sampling.seed.to_string());
            submit(&handle, request)
        });
        let mut of_this_engine = Vec::new();
        for generation in running {
            of_this_engine.push(collect(generation).await);
        }
        texts.push(of_this_engine);
    }
    for (sampling, text) in settings.iter().zip(&texts[0]).take(3) {
        let expected = FakeRunner::expected_with(&[1, 2, 3, 4, 5], 25, 50, sampling);
        assert_eq!(tokens(text), expected);
    }
    texts.dedup();
    assert_eq!(texts.len(), 1);
}

#[tokio::test]
async fn samples_of_one_prompt_draw_with_seeds_of_their_own() {
    for (handle, _thread) in every_way(&config()) {
        let prompt = [9; 10];
        let samples = handle.submit(hot(&prompt, 12, u64::MAX), 3).unwrap();
        // The seeds go on from the highest number to the lowest.
        for (sample, seed) in samples.into_iter().zip([u64::MAX, 0, 1]) {
            let expected = FakeRunner::expected_with(&prompt, 12, 50, &sampling(seed));
            assert_eq!(tokens(&collect(sample).await), expected);
        }
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_holds_nobody_up() {
    let (handle, _thread) = start(config());
    let unread = submit(&handle, request(&[1], 40));
    let read = submit(&handle, request(&[2], 40));
    assert_eq!(collect(read).await, answer(&[2], 40));
    until(&handle, is_at_rest).await;
    assert_eq!(collect(unread).await, answer(&[1], 40));
}

#[tokio::test]
async fn whoever_asks_hears_what_becomes_of_cached_blocks() {
    let (handle, _thread) = start(config());
    let mut events = handle.kv_events().expect("prompts are cached");
    let scope = CacheScope {
        adapter: None,
        salt: Some("tenant".into()),
    };
    let mut request = request(&[1, 2, 3, 4, 5, 6, 7, 8, 9], 1);
    request.scope = scope.clone();
    collect(submit(&handle, request)).await;
    until(&handle, |stats| stats.cached_blocks == 2).await;
    let mut parent_of_next = None;
    for block in [[1, 2, 3, 4], [5, 6, 7, 8]] {
        match events.try_recv().unwrap() {
            KvEvent::Stored {
                hash,
                parent,
                tokens,
                scope: stored_for,
            } => {
                assert_eq!((&*tokens, parent), (&block[..], parent_of_next));
                assert_eq!(stored_for, scope);
                parent_of_next = Some(hash);
            }
            removed @ KvEvent::Removed { .. } => panic!("there is room for all, but {removed:?}"),
        }
    }
    assert!(events.try_recv().is_err(), "nothing else was computed");
}

#[tokio::test]
async fn an_engine_that_caches_nothing_has_no_such_news() {
    let (handle, _thread) = start(EngineConfig {
        prefix_caching: Caching::Off,
        ..config()
    });
    assert!(handle.kv_events().is_none());
}

#[tokio::test]
async fn the_start_says_how_much_of_the_prompt_was_cached() {
    for overlap in [Overlap::On, Overlap::Off] {
        let (handle, _thread) = start(EngineConfig {
            overlap,
            ..config()
        });
        let prompt: Vec<TokenId> = (0..10).collect();
        for cached_len in [0, 8] {
            let events = collect(submit(&handle, request(&prompt, 2))).await;
            assert_eq!(events[0], Event::Started { cached_len });
        }
    }
}
