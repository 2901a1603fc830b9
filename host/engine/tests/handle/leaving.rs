//! Clients that leave, and requests whose time is up.

use std::time::{Duration, Instant};

use engine::{EngineHandle, Event, GenerationFailed, Request, fake::FakeRunner};

use crate::support::{
    LIMITS, answer, collect, config, every_way, gated, is_at_rest, request, start, submit, tokens,
    until,
};

#[tokio::test]
async fn a_client_may_leave_after_any_event_and_another_gets_its_whole_answer() {
    for (handle, _thread) in every_way(&config()) {
        for leaves_after in 0..12 {
            let mut fickle = submit(&handle, request(&[1, 2, 3, 4, 5], 10));
            let mut patient = request(&[6, 7], 10);
            // So that each round is like the first.
            patient.scope.salt = Some(leaves_after.to_string());
            let patient = submit(&handle, patient);
            let mut events = Vec::new();
            while events.len() < leaves_after && fickle.next(&mut events).await {}
            drop(fickle);
            assert_eq!(collect(patient).await, answer(&[6, 7], 10));
            until(&handle, is_at_rest).await;
        }
    }
}

#[tokio::test]
async fn a_wait_for_events_that_is_given_up_loses_none() {
    let (runner, gate) = gated(FakeRunner::new(LIMITS));
    let (handle, _thread) = EngineHandle::start(runner, config());
    let mut generation = submit(&handle, request(&[1, 2], 10));
    let mut events = Vec::new();
    for _ in 0..10 {
        gate.arrival();
        tokio::select! {
            biased;
            _ = generation.next(&mut events) => {}
            () = std::future::ready(()) => {}
        }
        gate.open();
    }
    drop(gate);
    while generation.next(&mut events).await {}
    assert_eq!(events, answer(&[1, 2], 10));
}

#[tokio::test]
async fn a_request_whose_time_is_up_before_it_runs_never_does() {
    let (handle, _thread) = start(config());
    let late = Request {
        deadline: Some(Instant::now()),
        ..request(&[1], 5)
    };
    let events = collect(submit(&handle, late)).await;
    let late = Event::Failed(GenerationFailed::DeadlineExceeded);
    assert_eq!(events, [late]);
    until(&handle, is_at_rest).await;
    assert_eq!(handle.stats().computed_tokens, 0);
}

#[tokio::test]
async fn a_request_whose_time_is_up_while_it_runs_ends_with_what_it_has() {
    let (runner, gate) = gated(FakeRunner::new(LIMITS));
    let (handle, _thread) = EngineHandle::start(runner, config());
    let deadline = Instant::now() + Duration::from_millis(100);
    let limited = Request {
        deadline: Some(deadline),
        ..request(&[1, 2], 30)
    };
    let limited = submit(&handle, limited);
    let unlimited = submit(&handle, request(&[3], 30));
    gate.arrival();
    while Instant::now() < deadline {
        std::thread::yield_now();
    }
    drop(gate);
    let events = collect(limited).await;
    let late = Event::Failed(GenerationFailed::DeadlineExceeded);
    assert_eq!(events.last(), Some(&late));
    // One step was before the gate when time was up; on a slow machine not even that.
    let answer_to_limited = answer(&[1, 2], 30);
    let whole = tokens(&answer_to_limited);
    assert!(tokens(&events).len() <= 1 && whole.starts_with(&tokens(&events)));
    assert_eq!(collect(unlimited).await, answer(&[3], 30));
}
