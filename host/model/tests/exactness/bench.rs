//! An engine on a real model, from its start to its end.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
};

use engine::{
    ComputeThread, Embedding, EmbeddingRequest, EngineHandle, Generation, Pooling, Request,
    TokenId, runner::StepError, stats::StatsSnapshot,
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    ask::{Answer, Ask},
    lent::{Gate, Seen},
    models::Model,
    setting::{Runs, Setting},
};

pub(crate) struct Bench {
    handle: EngineHandle,
    thread: JoinHandle<Result<(), StepError>>,
    at_gate: Receiver<()>,
    gate: Sender<()>,
    seen: Arc<Seen>,
    runtime: Runtime,
}

impl Bench {
    pub(crate) fn start(model: &Model, setting: &Setting) -> Self {
        Self::with_gate(model, setting, usize::MAX)
    }

    /// An engine that stops before a step until [`open_gate`](Self::open_gate).
    pub(crate) fn with_gate(model: &Model, setting: &Setting, before_step: usize) -> Self {
        let (reached, at_gate) = channel();
        let (gate, opens) = channel();
        let gate_of_runner = Gate {
            before_step,
            reached,
            opens,
        };
        let runner = model.home.lend(setting.num_blocks, gate_of_runner);
        let seen = Arc::clone(&runner.seen);
        let (handle, thread) = match setting.runner {
            Runs::Bare => EngineHandle::start(runner, setting.config()),
            Runs::OnItsThread => {
                EngineHandle::start(ComputeThread::start(runner), setting.config())
            }
        };
        Self {
            handle,
            thread,
            at_gate,
            gate,
            seen,
            runtime: Builder::new_current_thread().build().unwrap(),
        }
    }

    pub(crate) fn submit(&self, ask: &Ask) -> Generation {
        self.samples(ask, 1).remove(0)
    }

    pub(crate) fn samples(&self, ask: &Ask, num_samples: usize) -> Vec<Generation> {
        self.handle.submit(ask.request(), num_samples).unwrap()
    }

    pub(crate) fn embed(&self, tokens: &[TokenId], pooling: Pooling) -> Embedding {
        let request = EmbeddingRequest {
            tokens: tokens.to_vec(),
            pooling,
            ..EmbeddingRequest::default()
        };
        self.handle.embed(request).unwrap()
    }

    /// Waits for a vector.
    pub(crate) fn vector(&self, embedding: Embedding) -> Vec<f32> {
        self.runtime.block_on(embedding).unwrap()
    }

    /// Waits until the engine is at its gate.
    pub(crate) fn wait_at_gate(&self) {
        self.at_gate.recv().expect("the engine has not ended");
    }

    pub(crate) fn open_gate(&self) {
        self.gate.send(()).expect("the engine waits for it");
    }

    /// Waits for the answer's end.
    pub(crate) fn read(&self, mut generation: Generation) -> Answer {
        let mut events = Vec::new();
        self.runtime
            .block_on(async { while generation.next(&mut events).await {} });
        Answer::new(events)
    }

    pub(crate) fn answer(&self, ask: &Ask) -> Answer {
        self.read(self.submit(ask))
    }

    /// Ends the engine. Its figures are those of the step that ended the last request.
    pub(crate) fn end(self) -> (StatsSnapshot, Arc<Seen>) {
        // A request's end is told before the figures of its step; the next request only runs after them.
        let another = Request {
            prompt: vec![0],
            max_tokens: 1,
            ..Request::default()
        };
        for generation in self.handle.submit(another, 1).unwrap() {
            self.read(generation);
        }
        let stats = self.handle.stats();
        drop(self.handle);
        let ended = self.thread.join().expect("the engine does not panic");
        ended.expect("the runner does not break");
        (stats, self.seen)
    }
}
