//! The demo model as the server runs it.

use std::cell::Cell;
use std::time::Instant;

use engine::stats::StatsSnapshot;
use engine::{
    CacheScope, ComputeThread, EngineConfig, EngineHandle, Event, Generation, Overlap, Request,
    SamplingParams, TokenId,
};
use model::{KvMemory, OpenOptions, demo, open};
use tokio::runtime::{Builder, Runtime};

const ANSWER_LEN: usize = 128;
/// Blocks of 16 tokens: room for ten prompts of 1,000 tokens.
const NUM_BLOCKS: usize = 640;

pub(crate) type Failure = Box<dyn std::error::Error>;

/// An engine with a model of its own.
pub(crate) struct Served {
    engine: EngineHandle,
    machine: String,
    runtime: Runtime,
    num_salts: Cell<usize>,
}

impl Served {
    pub(crate) fn start(num_threads: Option<usize>, config: EngineConfig) -> Result<Self, Failure> {
        let options = OpenOptions {
            kv_memory: KvMemory::Blocks(NUM_BLOCKS),
            num_threads,
            ..OpenOptions::default()
        };
        let path = demo::fetch(&demo::cache_dir(), |_, _| ())?;
        let runner = open(&path, &options)?.runner;
        let (num_threads, isa) = (runner.num_threads(), runner.instruction_set());
        // The engine's thread ends with its handle.
        let (engine, _) = match config.overlap {
            Overlap::On => EngineHandle::start(ComputeThread::start(runner), config),
            Overlap::Off => EngineHandle::start(runner, config),
        };
        Ok(Self {
            engine,
            machine: format!("{num_threads} threads, {isa}"),
            runtime: Builder::new_current_thread().build()?,
            num_salts: Cell::new(0),
        })
    }

    /// What it runs on.
    pub(crate) fn machine(&self) -> &str {
        &self.machine
    }

    /// A salt that nobody has: what is asked with it is not in the cache.
    pub(crate) fn new_salt(&self) -> String {
        let number = self.num_salts.replace(self.num_salts.get() + 1);
        number.to_string()
    }

    /// Asks for the likeliest answers to all prompts at once, none of them in the cache: tokens of all answers by the whole
    /// time.
    pub(crate) fn tokens_per_second(&self, prompts: &[Vec<TokenId>]) -> f64 {
        self.tokens_per_second_with(&SamplingParams::default(), prompts)
    }

    /// The same for answers that are chosen otherwise.
    pub(crate) fn tokens_per_second_with(
        &self,
        sampling: &SamplingParams,
        prompts: &[Vec<TokenId>],
    ) -> f64 {
        let start = Instant::now();
        let ask =
            |prompt: &Vec<TokenId>| self.submit(prompt, ANSWER_LEN, sampling, &self.new_salt());
        let running: Vec<Generation> = prompts.iter().map(ask).collect();
        for generation in running {
            self.read(generation);
        }
        (prompts.len() * ANSWER_LEN) as f64 / start.elapsed().as_secs_f64()
    }

    /// Milliseconds from submission to an answer of one token.
    pub(crate) fn first_token_after(&self, prompt: &[TokenId], salt: &str) -> f64 {
        let start = Instant::now();
        self.read(self.submit(prompt, 1, &SamplingParams::default(), salt));
        1e3 * start.elapsed().as_secs_f64()
    }

    /// The engine's figures after all that was read: an answer's end comes just before the figures of its step, but another
    /// request only runs after them.
    pub(crate) fn settled_stats(&self) -> StatsSnapshot {
        self.read(self.submit(&[0], 1, &SamplingParams::default(), ""));
        self.engine.stats()
    }

    fn submit(
        &self,
        prompt: &[TokenId],
        max_tokens: usize,
        sampling: &SamplingParams,
        salt: &str,
    ) -> Generation {
        let request = Request {
            prompt: prompt.to_vec(),
            sampling: sampling.clone(),
            max_tokens,
            scope: CacheScope {
                adapter: None,
                salt: Some(salt.to_owned()),
            },
            ..Request::default()
        };
        let mut samples = self.engine.submit(request, 1).expect("there is room");
        samples.remove(0)
    }

    fn read(&self, mut generation: Generation) {
        let mut events = Vec::new();
        self.runtime
            .block_on(async { while generation.next(&mut events).await {} });
        let end = events.last();
        assert!(matches!(end, Some(Event::Finished { .. })), "{end:?}");
    }
}
