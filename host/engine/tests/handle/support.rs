//! Engines to submit to, and what comes of it.

use std::{sync::mpsc, thread::JoinHandle, time::Duration};

use engine::{
    ChosenToken, ComputeThread, EngineConfig, EngineHandle, Event, FinishReason, Generation,
    ModelRunner, Overlap, Request, RunnerLimits, SamplingParams, TokenId,
    fake::FakeRunner,
    runner::{RowOutcome, Step, StepError},
    stats::StatsSnapshot,
};

pub(crate) const LIMITS: RunnerLimits = RunnerLimits {
    block_len: 4,
    num_blocks: 32,
    vocab_len: 50,
    hidden_len: 3,
    max_model_len: 64,
};

pub(crate) type Thread = JoinHandle<Result<(), StepError>>;

/// Two sequences a step, and six that wait.
pub(crate) fn config() -> EngineConfig {
    EngineConfig {
        max_num_seqs: 2,
        max_num_batched_tokens: 16,
        max_num_queued_reqs: 6,
        ..EngineConfig::default()
    }
}

pub(crate) fn start(config: EngineConfig) -> (EngineHandle, Thread) {
    EngineHandle::start(FakeRunner::new(LIMITS), config)
}

/// The same engine in every way in which it can be run: steps overlapped or not, computed on the engine's thread or another.
pub(crate) fn every_way(config: &EngineConfig) -> Vec<(EngineHandle, Thread)> {
    let overlaps = [Overlap::On, Overlap::Off];
    let configs = overlaps.map(|overlap| EngineConfig {
        overlap,
        ..config.clone()
    });
    let both = |config: EngineConfig| {
        let computing = ComputeThread::start(FakeRunner::new(LIMITS));
        [
            start(config.clone()),
            EngineHandle::start(computing, config),
        ]
    };
    configs.into_iter().flat_map(both).collect()
}

pub(crate) fn request(prompt: &[TokenId], max_tokens: usize) -> Request {
    Request {
        prompt: prompt.to_vec(),
        max_tokens,
        ..Request::default()
    }
}

/// A request whose text depends on its seed.
pub(crate) fn hot(prompt: &[TokenId], max_tokens: usize, seed: u64) -> Request {
    Request {
        sampling: sampling(seed),
        ..request(prompt, max_tokens)
    }
}

pub(crate) fn sampling(seed: u64) -> SamplingParams {
    SamplingParams {
        temperature: 1.5,
        seed,
        ..SamplingParams::default()
    }
}

pub(crate) fn submit(handle: &EngineHandle, request: Request) -> Generation {
    let samples = handle.submit(request, 1);
    samples.expect("there is room for it").remove(0)
}

pub(crate) async fn collect(mut generation: Generation) -> Vec<Event> {
    let mut events = Vec::new();
    while generation.next(&mut events).await {}
    events
}

pub(crate) fn tokens(events: &[Event]) -> Vec<TokenId> {
    let token = |event: &Event| match event {
        Event::Token(token) => Some(token.id),
        _ => None,
    };
    events.iter().filter_map(token).collect()
}

/// All that a request reports whose prompt was not cached: the greedy answer, cut off at its length.
pub(crate) fn answer(prompt: &[TokenId], len: usize) -> Vec<Event> {
    let tokens = FakeRunner::expected(prompt, len, LIMITS.vocab_len);
    let token = |id| Event::Token(ChosenToken { id, logprobs: None });
    let end = Event::Finished {
        reason: FinishReason::Length,
        stop_token: None,
    };
    [Event::Started { cached_len: 0 }]
        .into_iter()
        .chain(tokens.into_iter().map(token))
        .chain([end])
        .collect()
}

/// Lets the engine go on until its figures are as they should be. They are published after the events of a step.
pub(crate) async fn until(handle: &EngineHandle, is_so: impl Fn(&StatsSnapshot) -> bool) {
    let wait = async {
        while !is_so(&handle.stats()) {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), wait).await;
    in_time.unwrap_or_else(|_| panic!("the engine stays at {:?}", handle.stats()));
}

pub(crate) fn is_at_rest(stats: &StatsSnapshot) -> bool {
    (stats.running, stats.waiting, stats.used_blocks) == (0, 0, 0)
}

/// A runner that waits in each launch until the test lets it go on.
pub(crate) struct Gated {
    runner: FakeRunner,
    arrived: mpsc::Sender<()>,
    open: mpsc::Receiver<()>,
}

/// The test's side of a [`Gated`] runner. Once it is dropped the gate stands open.
pub(crate) struct Gate {
    arrived: mpsc::Receiver<()>,
    open: mpsc::Sender<()>,
}

pub(crate) fn gated(runner: FakeRunner) -> (Gated, Gate) {
    let (arrive, arrived) = mpsc::channel();
    let (open, opened) = mpsc::channel();
    let gated = Gated {
        runner,
        arrived: arrive,
        open: opened,
    };
    (gated, Gate { arrived, open })
}

impl Gate {
    /// Waits until the engine stands before the gate.
    pub(crate) fn arrival(&self) {
        self.arrived.recv().expect("the engine runs");
    }

    /// Lets it through once.
    pub(crate) fn open(&self) {
        self.open.send(()).expect("the engine runs");
    }
}

impl ModelRunner for Gated {
    fn limits(&self) -> &RunnerLimits {
        self.runner.limits()
    }

    fn launch(&mut self, step: &Step<'_>) {
        // Nobody to tell, or to wait for, once the gate is gone.
        let _ = self.arrived.send(());
        let _ = self.open.recv();
        self.runner.launch(step);
    }

    fn collect(&mut self) -> Result<Vec<RowOutcome>, StepError> {
        self.runner.collect()
    }
}
