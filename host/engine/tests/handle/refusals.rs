//! What cannot run is refused, and the refusal says what to change.

use engine::{
    EngineConfig, EngineHandle, Event, GenerationFailed, InvalidParam, Request, SamplingParams,
    Scheduling, SubmitError, TokenId, fake::FakeRunner,
};

use crate::support::{
    Gate, LIMITS, Thread, answer, collect, config, gated, is_at_rest, request, sampling, start,
    submit, until,
};

fn refusal(handle: &EngineHandle, request: Request) -> SubmitError {
    handle.submit(request, 1).expect_err("it cannot run")
}

/// The parameter that is to blame for a refusal, and what it was.
fn blamed(refusal: SubmitError) -> (&'static str, String) {
    match refusal {
        SubmitError::InvalidParam(InvalidParam { param, found, .. }) => (param, found),
        other => panic!("no parameter is to blame for {other:?}"),
    }
}

#[test]
fn a_prompt_that_cannot_be_continued_is_refused_with_its_reason() {
    let (handle, _thread) = start(config());
    let refusal = |prompt: &[TokenId]| refusal(&handle, request(prompt, 1));
    assert_eq!(refusal(&[]), SubmitError::EmptyPrompt);
    let too_long = SubmitError::PromptTooLong {
        prompt_len: 64,
        max_model_len: 64,
    };
    assert_eq!(refusal(&[1; 64]), too_long);
    let unknown = SubmitError::UnknownToken {
        token: 50,
        vocab_len: 50,
    };
    assert_eq!(refusal(&[3, 50]), unknown);
}

#[test]
fn each_number_that_sampling_cannot_work_with_is_refused_by_its_name() {
    let (handle, _thread) = start(config());
    type Change = (&'static str, fn(&mut SamplingParams, f32));
    let numbers: [(Change, &[f32]); 6] = [
        (
            ("temperature", |params, to| params.temperature = to),
            &[-0.1],
        ),
        (("top_p", |params, to| params.top_p = to), &[-0.5, 0.0, 1.1]),
        (("min_p", |params, to| params.min_p = to), &[-0.1, 1.1]),
        (
            ("repetition_penalty", |params, to| {
                params.repetition_penalty = to
            }),
            &[-1.0, 0.0],
        ),
        (
            ("presence_penalty", |params, to| {
                params.presence_penalty = to
            }),
            &[-2.1, 2.1],
        ),
        (
            ("frequency_penalty", |params, to| {
                params.frequency_penalty = to
            }),
            &[-2.1, 2.1],
        ),
    ];
    let never = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    for ((param, set), out_of_range) in numbers {
        for value in never.iter().chain(out_of_range) {
            let mut request = request(&[1], 1);
            set(&mut request.sampling, *value);
            let blamed = blamed(refusal(&handle, request));
            assert_eq!(blamed, (param, value.to_string()));
        }
    }
    for (bias, found) in [
        ((50, 1.0), "50"),
        ((1, f32::NAN), "NaN"),
        ((1, f32::INFINITY), "inf"),
    ] {
        let mut request = request(&[1], 1);
        request.sampling.logit_bias = vec![(2, 1.0), bias];
        assert_eq!(
            blamed(refusal(&handle, request)),
            ("logit_bias", found.into())
        );
    }
    let mut request = request(&[1], 1);
    request.sampling.logprobs = Some(21);
    assert_eq!(blamed(refusal(&handle, request)), ("logprobs", "21".into()));
    let curious = Request {
        prompt_logprobs: Some(21),
        ..self::request(&[1], 1)
    };
    let blamed = blamed(refusal(&handle, curious));
    assert_eq!(blamed, ("prompt_logprobs", "21".into()));
}

#[test]
fn no_tokens_no_samples_and_too_many_samples_are_refused() {
    let (handle, _thread) = start(EngineConfig {
        max_num_queued_reqs: 1_000,
        ..config()
    });
    let blamed = blamed(refusal(&handle, request(&[1], 0)));
    assert_eq!(blamed, ("max_tokens", "0".into()));
    for num_samples in [0, 129] {
        let refusal = handle.submit(request(&[1], 1), num_samples).unwrap_err();
        assert_eq!(self::blamed(refusal), ("n", num_samples.to_string()));
    }
    assert_eq!(handle.submit(request(&[1], 1), 128).unwrap().len(), 128);
}

#[test]
fn more_samples_than_there_will_ever_be_room_for_are_refused_for_good() {
    let (handle, _thread) = start(config());
    let refusal = handle.submit(request(&[1], 1), 9).unwrap_err();
    assert_eq!(blamed(refusal), ("n", "9".into()));
}

#[tokio::test]
async fn a_priority_is_refused_only_where_it_would_change_nothing() {
    let urgent = || Request {
        priority: -1,
        ..request(&[1], 2)
    };
    let (handle, _thread) = start(config());
    assert_eq!(
        blamed(refusal(&handle, urgent())),
        ("priority", "-1".into())
    );
    let (handle, _thread) = start(EngineConfig {
        scheduling: Scheduling::Priority,
        ..config()
    });
    assert_eq!(collect(submit(&handle, urgent())).await, answer(&[1], 2));
}

#[tokio::test]
async fn numbers_at_the_edge_of_what_is_allowed_harm_at_most_their_own_request() {
    let (handle, _thread) = start(config());
    let hot = sampling(3);
    let least = f32::from_bits(1);
    let edges = [
        SamplingParams {
            temperature: least,
            ..hot.clone()
        },
        SamplingParams {
            temperature: f32::MAX,
            ..hot.clone()
        },
        SamplingParams {
            top_p: least,
            min_p: 1.0,
            top_k: usize::MAX,
            ..hot.clone()
        },
        SamplingParams {
            repetition_penalty: least,
            ..hot.clone()
        },
        SamplingParams {
            repetition_penalty: f32::MAX,
            ..hot.clone()
        },
        SamplingParams {
            presence_penalty: 2.0,
            frequency_penalty: -2.0,
            ..hot.clone()
        },
        SamplingParams {
            presence_penalty: 2.0,
            frequency_penalty: 2.0,
            logit_bias: vec![(1, f32::MAX), (1, f32::MAX), (2, f32::MIN)],
            logprobs: Some(20),
            min_tokens: usize::MAX,
            ..hot
        },
    ];
    for sampling in edges {
        let extreme = Request {
            max_tokens: usize::MAX,
            sampling: sampling.clone(),
            ..request(&[1, 2, 3], 1)
        };
        let events = collect(submit(&handle, extreme)).await;
        match events.last() {
            // Penalties that leave no token to choose.
            Some(Event::Failed(GenerationFailed::Step(_))) => {}
            // The start, a token for each place that is left in the context, and the end.
            Some(Event::Finished { .. }) => assert_eq!(events.len(), 1 + 61 + 1),
            other => panic!("{sampling:?} ended with {other:?}"),
        }
    }
}

/// An engine that stands still, with all its places taken but `num_left`.
fn full_but_for(num_left: usize) -> (EngineHandle, Gate, Vec<engine::Generation>, Thread) {
    let (runner, gate) = gated(FakeRunner::new(LIMITS));
    let (handle, thread) = EngineHandle::start(runner, config());
    let taken = (num_left..8).map(|i| submit(&handle, request(&[i as TokenId], 5)));
    let taken = taken.collect();
    (handle, gate, taken, thread)
}

#[tokio::test]
async fn one_request_too_many_is_refused_and_finished_ones_make_room() {
    let (handle, gate, taken, _thread) = full_but_for(0);
    let refusal = refusal(&handle, request(&[1], 5));
    assert_eq!(refusal, SubmitError::Overloaded { asked: 1, limit: 8 });
    drop(gate);
    for generation in taken {
        collect(generation).await;
    }
    until(&handle, is_at_rest).await;
    let again: Vec<_> = (0..8).map(|i| submit(&handle, request(&[i], 1))).collect();
    for (token, generation) in (0..).zip(again) {
        let events = collect(generation).await;
        assert_eq!(events[1..], answer(&[token], 1)[1..]);
    }
}

#[tokio::test]
async fn samples_are_taken_all_or_none() {
    let (handle, gate, taken, _thread) = full_but_for(2);
    let overloaded = SubmitError::Overloaded { asked: 3, limit: 8 };
    let refusal = handle.submit(request(&[1], 5), 3).unwrap_err();
    assert_eq!(refusal, overloaded);
    let both = handle.submit(request(&[1], 5), 2).unwrap();
    drop((taken, gate));
    for generation in both {
        assert_eq!(collect(generation).await.len(), 1 + 5 + 1);
    }
}

#[tokio::test]
async fn whoever_leaves_makes_room_too() {
    let (handle, gate, taken, _thread) = full_but_for(0);
    drop((taken, gate));
    while handle.submit(request(&[1], 1), 1).is_err() {
        tokio::task::yield_now().await;
    }
}
