//! How fast the engine serves the demo model on this machine's CPU: batching, the prefix cache, overlapped steps and
//! guesses, each beside what it is to be better than.
//!
//!     cargo run --release -p model --example engine_speed [-- THREADS]
//!
//! The engine and the runner's thread are those of the server. Figures are medians of several repeats, with the least and
//! the greatest; what is compared takes turns, so that a machine that slows down slows both.

use std::time::{Duration, Instant};

use engine::{
    CacheScope, ComputeThread, EngineConfig, EngineHandle, Event, Generation, Overlap, Request,
    TokenId,
};
use model::{KvMemory, OpenOptions, demo, open};
use serde::Deserialize;
use tokio::runtime::{Builder, Runtime};

const REPEATS: usize = 5;
const ANSWER_LEN: usize = 128;
const CONCURRENCY: usize = 8;
const LONG_PROMPT_LEN: usize = 1_000;
const NUM_DRAFT_TOKENS: usize = 4;
/// For as many prompts of 1,000 tokens as are measured, so that nothing is evicted: 16 tokens each.
const NUM_BLOCKS: usize = 640;

/// Texts of the demo model: `tests/data/smollm2-greedy.json`.
#[derive(Deserialize)]
struct Texts {
    cases: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    prompt_token_ids: Vec<TokenId>,
    output_token_ids: Vec<TokenId>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let num_threads = std::env::args().nth(1).map(|threads| threads.parse());
    let num_threads = num_threads.transpose()?;
    let texts: Texts = serde_json::from_str(include_str!("../tests/data/smollm2-greedy.json"))?;
    let served = Served::start(num_threads, EngineConfig::default())?;
    println!("{}, on {}\n", demo::FILE_NAME, served.machine);
    println!(
        "{:<34}{:>10}{:>10}{:>10}",
        "", "median", "least", "greatest"
    );

    let ordinary = ordinary_prompts(&texts);
    let [alone, together] = turns([
        &mut || served.tokens_per_second(&ordinary[..1]),
        &mut || served.tokens_per_second(&ordinary),
    ]);
    alone.print("1 request, tok/s");
    together.print(&format!("{CONCURRENCY} requests, tok/s"));
    print_ratio(
        "together / alone",
        together.median() / alone.median(),
        Some(2.5),
    );

    let long: Vec<TokenId> = long_prompt(&texts);
    let mut salts = (0..).map(|number| format!("long {number}"));
    let (mut cold, mut cached) = (Figures::default(), Figures::default());
    for _ in 0..=REPEATS {
        let salt = salts.next();
        cold.add(served.first_token_after(&long, salt.clone()));
        cached.add(served.first_token_after(&long, salt));
    }
    cold.print(&format!("{LONG_PROMPT_LEN} tokens, TTFT in ms"));
    cached.print("the same, cached");
    print_ratio("cold / cached", cold.median() / cached.median(), Some(5.0));

    let in_turn = EngineConfig {
        overlap: Overlap::Off,
        ..EngineConfig::default()
    };
    let in_turn = Served::start(num_threads, in_turn)?;
    for prompts in [&ordinary[..1], &ordinary] {
        let [off, on] = turns([&mut || in_turn.tokens_per_second(prompts), &mut || {
            served.tokens_per_second(prompts)
        }]);
        let num_requests = prompts.len();
        off.print(&format!("overlap off, {num_requests} at once, tok/s"));
        on.print(&format!("overlap on, {num_requests} at once, tok/s"));
        print_ratio("on / off", on.median() / off.median(), None);
    }
    drop(in_turn);

    let guessing = EngineConfig {
        num_draft_tokens: NUM_DRAFT_TOKENS,
        ..EngineConfig::default()
    };
    let guessing = Served::start(num_threads, guessing)?;
    // A list that has begun to go round in circles, and prose.
    let repetitive = [texts.cases[0].output_token_ids[..32].repeat(3)];
    for (name, prompts) in [
        ("repetitive", &repetitive[..]),
        ("ordinary", &ordinary[3..4]),
    ] {
        let before = guessing.settled_stats();
        let [off, on] = turns([&mut || served.tokens_per_second(prompts), &mut || {
            guessing.tokens_per_second(prompts)
        }]);
        let after = guessing.settled_stats();
        off.print(&format!("{name}, no guesses, tok/s"));
        on.print(&format!("{name}, ngram, tok/s"));
        print_ratio("ngram / none", on.median() / off.median(), None);
        let guessed = after.draft_tokens - before.draft_tokens;
        let right = after.accepted_tokens - before.accepted_tokens;
        let share = 100.0 * right as f64 / guessed.max(1) as f64;
        println!("guesses right: {right} of {guessed}, {share:.0} %\n");
    }
    Ok(())
}

/// As many different prompts as run at once: the four of the file, and the same with the beginning of their answers.
fn ordinary_prompts(texts: &Texts) -> Vec<Vec<TokenId>> {
    let prompt = |(number, text): (usize, &Text)| {
        let answer = &text.output_token_ids[..number / texts.cases.len() * 8];
        [&text.prompt_token_ids, answer].concat()
    };
    let texts_in_turn = texts.cases.iter().cycle().enumerate();
    texts_in_turn.take(CONCURRENCY).map(prompt).collect()
}

fn long_prompt(texts: &Texts) -> Vec<TokenId> {
    let tokens = |text: &Text| [&text.prompt_token_ids[..], &text.output_token_ids].concat();
    let all: Vec<TokenId> = texts.cases.iter().flat_map(tokens).collect();
    all.into_iter().cycle().take(LONG_PROMPT_LEN).collect()
}

/// An engine of its own with the demo model.
struct Served {
    engine: EngineHandle,
    /// What it runs on.
    machine: String,
    runtime: Runtime,
    start: Instant,
}

impl Served {
    fn start(
        num_threads: Option<usize>,
        config: EngineConfig,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let options = OpenOptions {
            kv_memory: KvMemory::Blocks(NUM_BLOCKS),
            num_threads,
            ..OpenOptions::default()
        };
        let path = demo::fetch(&demo::cache_dir(), |_, _| ())?;
        let runner = open(&path, &options)?.runner;
        let machine = format!(
            "{} threads, {}",
            runner.num_threads(),
            runner.instruction_set()
        );
        // It ends with its handle.
        let (engine, _) = EngineHandle::start(ComputeThread::start(runner), config);
        Ok(Self {
            engine,
            machine,
            runtime: Builder::new_current_thread().build()?,
            start: Instant::now(),
        })
    }

    /// Who has the same salt shares what is computed.
    fn submit(&self, prompt: &[TokenId], max_tokens: usize, salt: Option<String>) -> Generation {
        let request = Request {
            prompt: prompt.to_vec(),
            max_tokens,
            scope: CacheScope {
                adapter: None,
                salt,
            },
            ..Request::default()
        };
        let mut samples = self.engine.submit(request, 1).expect("the engine has room");
        samples.remove(0)
    }

    fn read(&self, mut generation: Generation) -> Vec<Event> {
        let mut events = Vec::new();
        self.runtime
            .block_on(async { while generation.next(&mut events).await {} });
        assert!(matches!(events.last(), Some(Event::Finished { .. })));
        events
    }

    /// Answers to all prompts at once, none of which finds anything in the cache: tokens of all answers by the whole time.
    fn tokens_per_second(&self, prompts: &[Vec<TokenId>]) -> f64 {
        let salt = |number| Some(format!("{number} {:?}", self.start.elapsed()));
        let start = Instant::now();
        let submit = |(number, prompt): (usize, &Vec<TokenId>)| {
            self.submit(prompt, ANSWER_LEN, salt(number))
        };
        let running: Vec<Generation> = prompts.iter().enumerate().map(submit).collect();
        running
            .into_iter()
            .for_each(|generation| drop(self.read(generation)));
        (prompts.len() * ANSWER_LEN) as f64 / start.elapsed().as_secs_f64()
    }

    /// Milliseconds from submission to the only token.
    fn first_token_after(&self, prompt: &[TokenId], salt: Option<String>) -> f64 {
        let start = Instant::now();
        let generation = self.submit(prompt, 1, salt);
        self.read(generation);
        let elapsed: Duration = start.elapsed();
        1e3 * elapsed.as_secs_f64()
    }

    /// The engine's figures after all that was read: an answer's end comes just before the figures of its step, but another
    /// request only runs after them.
    fn settled_stats(&self) -> engine::stats::StatsSnapshot {
        self.read(self.submit(&[0], 1, None));
        self.engine.stats()
    }
}

/// Measures two things in turn, after one turn that does not count.
fn turns(mut measures: [&mut dyn FnMut() -> f64; 2]) -> [Figures; 2] {
    let mut figures = <[Figures; 2]>::default();
    for _ in 0..=REPEATS {
        for (measure, figures) in measures.iter_mut().zip(&mut figures) {
            figures.add(measure());
        }
    }
    figures
}

/// What was measured, in the order of the measurements; the first does not count.
#[derive(Default)]
struct Figures(Vec<f64>);

impl Figures {
    fn add(&mut self, figure: f64) {
        self.0.push(figure);
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0[1..].to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    fn median(&self) -> f64 {
        self.sorted()[REPEATS / 2]
    }

    fn print(&self, name: &str) {
        let sorted = self.sorted();
        let (least, greatest) = (sorted[0], sorted[REPEATS - 1]);
        println!(
            "{name:<34}{:>10.1}{least:>10.1}{greatest:>10.1}",
            self.median()
        );
    }
}

fn print_ratio(name: &str, ratio: f64, bar: Option<f64>) {
    let bar = bar.map_or(String::new(), |bar| {
        format!("   at least {bar} is asked for")
    });
    println!("{name:<34}{ratio:>10.2}{bar}\n");
}
