//! How an engine ends: when nobody needs it any more, or because its runner broke.

use std::sync::Barrier;

use engine::{
    ComputeThread, EngineConfig, EngineHandle, Event, GenerationFailed, ModelRunner, RunnerLimits,
    SubmitError,
    fake::FakeRunner,
    runner::{RowOutcome, Step, StepError},
};

use crate::support::{
    LIMITS, answer, collect, config, every_way, gated, is_at_rest, request, submit, until,
};

const STOPPED: Event = Event::Failed(GenerationFailed::Stopped);

fn breaks_in_step(number: usize) -> FakeRunner {
    let sound = (1..number).map(|_| None);
    let gone = StepError::Fatal("gone".into());
    FakeRunner::new(LIMITS).with_failures(sound.chain([Some(gone)]))
}

#[tokio::test]
async fn the_last_handle_to_go_ends_the_engine_once_what_runs_has_ended() {
    let (runner, gate) = gated(FakeRunner::new(LIMITS));
    let (handle, thread) = EngineHandle::start(runner, config());
    let other = handle.clone();
    let running: Vec<_> = (0..4)
        .map(|token| submit(&handle, request(&[token], 10)))
        .collect();
    gate.arrival();
    drop(handle);
    drop(other);
    assert!(!thread.is_finished());
    drop(gate);
    for (token, generation) in (0..).zip(running) {
        assert_eq!(collect(generation).await, answer(&[token], 10));
    }
    thread.join().unwrap().unwrap();
}

#[test]
fn an_engine_that_was_never_asked_anything_ends_too() {
    for (handle, thread) in every_way(&config()) {
        drop(handle);
        thread.join().unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_broken_runner_ends_what_runs_and_what_waits_and_the_engine_says_why() {
    let on_its_own_thread = |runner| EngineHandle::start(ComputeThread::start(runner), config());
    let engines = [
        EngineHandle::start(breaks_in_step(3), config()),
        on_its_own_thread(breaks_in_step(3)),
    ];
    for (handle, thread) in engines {
        let running: Vec<_> = (0..8)
            .filter_map(|token| Some(handle.submit(request(&[token], 10), 1).ok()?.remove(0)))
            .collect();
        for generation in running {
            let events = collect(generation).await;
            assert_eq!(events.last(), Some(&STOPPED));
            let is_last =
                |event: &Event| matches!(event, Event::Finished { .. } | Event::Failed(_));
            assert_eq!(events.iter().filter(|event| is_last(event)).count(), 1);
        }
        let why = thread.join().unwrap().expect_err("the runner broke");
        assert_eq!(why.to_string(), "model runner is broken: gone");
        let refusal = handle.submit(request(&[1], 5), 1).unwrap_err();
        assert_eq!(refusal, SubmitError::Stopped);
        assert!(is_at_rest(&handle.stats()));
    }
}

#[test]
fn whoever_comes_while_the_engine_breaks_is_refused_or_ends_with_it() {
    for _ in 0..50 {
        let (handle, thread) = EngineHandle::start(breaks_in_step(1), config());
        let start = Barrier::new(4);
        std::thread::scope(|scope| {
            for token in 0..4 {
                let (handle, start) = (&handle, &start);
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build();
                    let runtime = runtime.expect("a runtime without drivers needs nothing");
                    start.wait();
                    match handle.submit(request(&[token], 5), 1) {
                        Ok(mut samples) => {
                            let events = runtime.block_on(collect(samples.remove(0)));
                            assert_eq!(events.last(), Some(&STOPPED));
                        }
                        Err(refusal) => assert_eq!(refusal, SubmitError::Stopped),
                    }
                });
            }
        });
        thread.join().unwrap().expect_err("the runner broke");
    }
}

/// A runner with a fault of its own.
struct Panicking(RunnerLimits);

impl ModelRunner for Panicking {
    fn limits(&self) -> &RunnerLimits {
        &self.0
    }

    fn launch(&mut self, _: &Step<'_>) {
        panic!("a panic on purpose");
    }

    fn collect(&mut self) -> Result<Vec<RowOutcome>, StepError> {
        unreachable!("no step was launched");
    }
}

#[tokio::test]
async fn a_runner_that_panics_leaves_nobody_without_an_end() {
    let (handle, thread) = EngineHandle::start(ComputeThread::start(Panicking(LIMITS)), config());
    assert_eq!(
        collect(submit(&handle, request(&[1], 5))).await.last(),
        Some(&STOPPED)
    );
    let why = thread.join().unwrap().expect_err("the runner broke");
    assert!(matches!(why, StepError::Fatal(_)));
    let (handle, thread) = EngineHandle::start(Panicking(LIMITS), config());
    assert_eq!(
        collect(submit(&handle, request(&[1], 5))).await.last(),
        Some(&STOPPED)
    );
    assert!(thread.join().is_err(), "the engine's own thread panicked");
}

#[tokio::test]
async fn a_step_that_fails_ends_its_row_and_the_engine_goes_on() {
    let poison = FakeRunner::expected(&[2], 3, LIMITS.vocab_len)[2];
    let runner = FakeRunner::new(LIMITS).with_poison(poison);
    let (handle, thread) = EngineHandle::start(ComputeThread::start(runner), config());
    let hit = collect(submit(&handle, request(&[2], 9))).await;
    let failed = GenerationFailed::Step("poison".into());
    assert_eq!(hit.last(), Some(&Event::Failed(failed)));
    until(&handle, is_at_rest).await;
    assert_eq!(handle.stats().failed_rows, 1);
    assert_eq!(
        collect(submit(&handle, request(&[1], 2))).await,
        answer(&[1], 2)
    );
    drop(handle);
    thread.join().unwrap().unwrap();
}

#[tokio::test]
async fn whoever_asks_again_at_once_finds_its_place_free() {
    let one_place = EngineConfig {
        max_num_seqs: 1,
        max_num_queued_reqs: 0,
        ..config()
    };
    for (handle, thread) in every_way(&one_place) {
        for token in 0..200 {
            let samples = handle.submit(request(&[token % 40], 2), 1);
            let generation = samples.expect("the last one has ended").remove(0);
            assert!(!collect(generation).await.is_empty());
        }
        drop(handle);
        thread.join().unwrap().unwrap();
    }
}
