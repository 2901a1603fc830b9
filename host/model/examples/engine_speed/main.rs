//! How fast the engine serves the demo model on this machine's CPU: batching, the prefix cache, overlapped steps and
//! guesses, each beside what it is to be better than.
//!
//!     cargo run --release -p model --example engine_speed [-- THREADS]
//!
//! The engine, and the runner's thread, are those of the server. Figures are medians of several repeats, with the least and
//! the greatest. What is compared takes turns, and a ratio is that of two figures of the same turn, so that a machine that
//! slows down slows both.

mod figures;
mod served;
mod texts;

use engine::{EngineConfig, Overlap, SamplingParams};
use model::demo;

use figures::turns;
use served::{Failure, Served};
use texts::Texts;

const CONCURRENCY: usize = 8;
const LONG_PROMPT_LEN: usize = 1_000;
const NUM_DRAFT_TOKENS: usize = 4;

fn main() -> Result<(), Failure> {
    let num_threads = std::env::args().nth(1).map(|threads| threads.parse());
    let num_threads = num_threads.transpose()?;
    let texts = Texts::read()?;
    // As `host serve` runs it on a CPU.
    let config = EngineConfig {
        overlap: Overlap::Off,
        ..EngineConfig::default()
    };
    let served = Served::start(num_threads, config.clone())?;
    println!("{}, on {}", demo::FILE_NAME, served.machine());
    println!(
        "\n{:<38}{:>10}{:>10}{:>10}",
        "", "median", "least", "greatest"
    );
    batching(&served, &texts);
    prefix_cache(&served, &texts);
    overlap(&served, &texts, num_threads, config.clone())?;
    guesses(&served, &texts, num_threads, config)
}

fn batching(served: &Served, texts: &Texts) {
    let prompts = texts.prompts(CONCURRENCY);
    let [alone, together] = turns(|| {
        let alone = served.tokens_per_second(&prompts[..1]);
        [alone, served.tokens_per_second(&prompts)]
    });
    alone.print("1 request, tok/s");
    together.print(&format!("{CONCURRENCY} requests, tok/s"));
    together
        .over(&alone)
        .print_ratio("together / alone", Some(2.5));
}

fn prefix_cache(served: &Served, texts: &Texts) {
    let prompt = texts.long_prompt(LONG_PROMPT_LEN);
    let [cold, cached] = turns(|| {
        let salt = served.new_salt();
        let cold = served.first_token_after(&prompt, &salt);
        [cold, served.first_token_after(&prompt, &salt)]
    });
    cold.print(&format!("{LONG_PROMPT_LEN} tokens, TTFT in ms"));
    cached.print("the same, cached");
    cold.over(&cached).print_ratio("cold / cached", Some(5.0));
}

fn overlap(
    served: &Served,
    texts: &Texts,
    num_threads: Option<usize>,
    config: EngineConfig,
) -> Result<(), Failure> {
    let config = EngineConfig {
        overlap: Overlap::On,
        ..config
    };
    let overlapped = Served::start(num_threads, config)?;
    for num_requests in [1, CONCURRENCY] {
        let prompts = texts.prompts(num_requests);
        let [off, on] = turns(|| {
            let off = served.tokens_per_second(&prompts);
            [off, overlapped.tokens_per_second(&prompts)]
        });
        off.print(&format!("overlap off, {num_requests} at once, tok/s"));
        on.print(&format!("overlap on, {num_requests} at once, tok/s"));
        on.over(&off).print_ratio("on / off", None);
    }
    Ok(())
}

fn guesses(
    served: &Served,
    texts: &Texts,
    num_threads: Option<usize>,
    config: EngineConfig,
) -> Result<(), Failure> {
    let config = EngineConfig {
        num_draft_tokens: NUM_DRAFT_TOKENS,
        ..config
    };
    let guessing = Served::start(num_threads, config)?;
    let greedy = SamplingParams::default();
    let sampled = SamplingParams {
        temperature: 1.0,
        seed: 1,
        ..SamplingParams::default()
    };
    for (name, prompt, sampling) in [
        ("repetitive", texts.repetitive_prompt(), &greedy),
        ("ordinary", texts.prose_prompt(), &greedy),
        ("ordinary, sampled", texts.prose_prompt(), &sampled),
    ] {
        let prompts = [prompt];
        let before = guessing.settled_stats();
        let [off, on] = turns(|| {
            let off = served.tokens_per_second_with(sampling, &prompts);
            [off, guessing.tokens_per_second_with(sampling, &prompts)]
        });
        let after = guessing.settled_stats();
        off.print(&format!("{name}, no drafts, tok/s"));
        on.print(&format!("{name}, ngram, tok/s"));
        let guessed = after.draft_tokens - before.draft_tokens;
        let right = after.accepted_tokens - before.accepted_tokens;
        let share = 100.0 * right as f64 / guessed.max(1) as f64;
        println!("drafts accepted: {right} of {guessed} tokens, {share:.0} %");
        on.over(&off).print_ratio("ngram / no drafts", None);
    }
    Ok(())
}
