//! The engine through its handle, on its own thread.

use std::sync::mpsc;

use engine::{
    EngineConfig, EngineHandle, Event, FinishReason, ModelRunner, Request, RunnerLimits,
    SamplingParams, SubmitError, TokenId,
    fake::FakeRunner,
    runner::{StepError, StepRow},
};

const LIMITS: RunnerLimits = RunnerLimits {
    block_len: 4,
    num_blocks: 32,
    vocab_len: 50,
    max_model_len: 64,
};

fn config() -> EngineConfig {
    EngineConfig {
        max_num_seqs: 2,
        max_num_batched_tokens: 16,
        max_num_queued_reqs: 6,
    }
}

fn request(prompt: &[TokenId], max_tokens: usize) -> Request {
    Request {
        prompt: prompt.to_vec(),
        sampling: SamplingParams::default(),
        max_tokens,
        stop_token_ids: vec![],
    }
}

async fn collect(mut generation: engine::Generation) -> Vec<Event> {
    let mut events = Vec::new();
    while generation.next(&mut events).await {}
    events
}

#[tokio::test]
async fn eight_requests_at_once_each_get_their_own_answer() {
    let (handle, thread) = EngineHandle::start(FakeRunner::new(LIMITS), config());
    let prompts: Vec<[TokenId; 3]> = (0..8).map(|i| [i, i + 1, i + 2]).collect();
    let running: Vec<_> = prompts
        .iter()
        .map(|prompt| handle.submit(request(prompt, 20)).unwrap())
        .collect();
    for (prompt, generation) in prompts.iter().zip(running) {
        let mut expected: Vec<Event> = FakeRunner::expected(prompt, 20, LIMITS.vocab_len)
            .into_iter()
            .map(Event::Token)
            .collect();
        expected.push(Event::Finished {
            reason: FinishReason::Length,
            stop_token: None,
        });
        assert_eq!(collect(generation).await, expected);
    }
    drop(handle);
    thread.join().unwrap().unwrap();
}

#[tokio::test]
async fn what_can_not_run_is_refused_with_its_reason() {
    let (handle, _thread) = EngineHandle::start(FakeRunner::new(LIMITS), config());
    let refusal = |prompt: &[TokenId]| handle.submit(request(prompt, 1)).unwrap_err();
    assert_eq!(refusal(&[]), SubmitError::EmptyPrompt);
    assert_eq!(
        refusal(&[1; 64]),
        SubmitError::PromptTooLong {
            prompt_len: 64,
            max_model_len: 64
        }
    );
    assert_eq!(
        refusal(&[3, 50]),
        SubmitError::UnknownToken {
            token: 50,
            vocab_len: 50
        }
    );
}

/// A runner whose first step waits for the gate, so that a test can look at an engine in the middle of its work.
struct Gated(FakeRunner, Option<mpsc::Receiver<()>>);

impl ModelRunner for Gated {
    fn limits(&self) -> &RunnerLimits {
        self.0.limits()
    }

    fn step(&mut self, rows: &[StepRow<'_>]) -> Result<Vec<Option<TokenId>>, StepError> {
        if let Some(gate) = self.1.take() {
            gate.recv().expect("the test opens the gate");
        }
        self.0.step(rows)
    }
}

#[tokio::test]
async fn one_request_too_many_is_refused_and_finished_ones_make_room() {
    let (open, gate) = mpsc::channel();
    let (handle, _thread) =
        EngineHandle::start(Gated(FakeRunner::new(LIMITS), Some(gate)), config());
    let taken: Vec<_> = (0..8)
        .map(|i| handle.submit(request(&[i], 5)).unwrap())
        .collect();
    assert_eq!(
        handle.submit(request(&[1], 5)).unwrap_err(),
        SubmitError::Overloaded { limit: 8 }
    );
    open.send(()).unwrap();
    for generation in taken {
        collect(generation).await;
    }
    // A place is given back just after its last event, which may be a moment after we have read it.
    while handle.submit(request(&[1], 1)).is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_engine_that_broke_says_so() {
    let broken = FakeRunner::new(LIMITS).with_failures([Some(StepError::Fatal("gone".into()))]);
    let (handle, thread) = EngineHandle::start(broken, config());
    let events = collect(handle.submit(request(&[1], 5)).unwrap()).await;
    assert_eq!(events, [Event::Failed(engine::GenerationFailed::Stopped)]);
    assert!(thread.join().unwrap().is_err());
    assert_eq!(
        handle.submit(request(&[1], 5)).unwrap_err(),
        SubmitError::Stopped
    );
}
