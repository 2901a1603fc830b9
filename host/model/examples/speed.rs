//! How fast a model runs on this machine's CPU: prefill, and decode at several batch sizes.
//!
//!     cargo run --release -p model --example speed [-- MODEL [THREADS]]
//!
//! MODEL is a folder, a .gguf file, or `dummy:FOLDER` for random weights of the folder's config.json; without one the demo
//! model is fetched. Figures are medians of several repeats, with the least and the greatest.

use std::path::Path;
use std::time::Instant;

use engine::runner::{BlockId, ModelRunner, StepRow};
use engine::sampling::SamplingParams;
use model::{CpuRunner, KvMemory, LoadFormat, OpenOptions, demo, open};

const PREFILL_LEN: usize = 512;
const DECODE_LEN: usize = 128;
const REPEATS: usize = 5;
const MAX_BATCH: usize = 16;
/// Blocks a sequence of this bench needs at most.
const BLOCKS_PER_SEQ: usize = PREFILL_LEN / 16 + 1;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let model = args.next();
    let num_threads = args.next().map(|threads| threads.parse()).transpose()?;
    let (path, load_format) = match &model {
        None => (
            demo::fetch(&demo::cache_dir(), |_, _| ())?,
            LoadFormat::Files,
        ),
        Some(path) => match path.strip_prefix("dummy:") {
            Some(folder) => (folder.into(), LoadFormat::Dummy { seed: 0 }),
            None => (Path::new(path).to_owned(), LoadFormat::Files),
        },
    };
    let kv_memory = KvMemory::Blocks(MAX_BATCH * BLOCKS_PER_SEQ);
    let options = OpenOptions {
        kv_memory,
        num_threads,
        load_format,
        max_model_len: Some(528),
        ..OpenOptions::default()
    };
    let start = Instant::now();
    let mut runner = open(&path, &options)?.runner;
    let loaded = start.elapsed();
    step(&mut runner, 1, 0, 1)?;
    println!("model      {}", path.display());
    println!(
        "weights    {} M parameters, {} MB",
        runner.num_parameters() / 1_000_000,
        runner.weight_bytes() / 1_000_000
    );
    println!(
        "threads    {}, {}",
        runner.num_threads(),
        runner.instruction_set()
    );
    println!(
        "load       {:.3} s, to the first token {:.3} s",
        loaded.as_secs_f64(),
        start.elapsed().as_secs_f64()
    );
    println!(
        "\n{:<22}{:>12}{:>12}{:>12}",
        "tok/s", "median", "least", "greatest"
    );

    report(&format!("prefill {PREFILL_LEN}"), PREFILL_LEN, || {
        step(&mut runner, 1, 0, PREFILL_LEN)
    })?;
    for batch in [1, 2, 4, 8, MAX_BATCH] {
        report(
            &format!("decode, batch {batch}"),
            batch * DECODE_LEN,
            || {
                (0..DECODE_LEN).try_for_each(|position| {
                    step(&mut runner, batch, PREFILL_LEN / 4 + position, 1)
                })
            },
        )?;
    }
    Ok(())
}

/// One step of `batch` sequences, each of `len` tokens from `start` on. What they say does not matter to the speed.
fn step(
    runner: &mut CpuRunner,
    batch: usize,
    start: usize,
    len: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let tokens: Vec<u32> = (0..len as u32).map(|i| (i * 31 + 7) % 256).collect();
    let blocks: Vec<Vec<BlockId>> = (0..batch)
        .map(|seq| {
            (0..BLOCKS_PER_SEQ)
                .map(|block| BlockId((seq * BLOCKS_PER_SEQ + block) as u32))
                .collect()
        })
        .collect();
    let params = SamplingParams::default();
    let rows: Vec<StepRow<'_>> = blocks
        .iter()
        .map(|blocks| StepRow {
            tokens: &tokens,
            start,
            blocks,
            sample: Some(&params),
        })
        .collect();
    runner.step(&rows)?;
    Ok(())
}

/// Prints the tokens per second of several runs of `work`, which computes `num_tokens`.
fn report(
    name: &str,
    num_tokens: usize,
    mut work: impl FnMut() -> Result<(), Box<dyn std::error::Error>>,
) -> Result<(), Box<dyn std::error::Error>> {
    work()?;
    let mut speeds = Vec::new();
    for _ in 0..REPEATS {
        let start = Instant::now();
        work()?;
        speeds.push(num_tokens as f64 / start.elapsed().as_secs_f64());
    }
    speeds.sort_by(f64::total_cmp);
    println!(
        "{name:<22}{:>12.1}{:>12.1}{:>12.1}",
        speeds[REPEATS / 2],
        speeds[0],
        speeds[REPEATS - 1]
    );
    Ok(())
}
