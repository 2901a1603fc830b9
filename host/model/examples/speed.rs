//! How fast a model runs on this machine's CPU: prefill, and decode at several batch sizes.
//!
//!     cargo run --release -p model --example speed [-- MODEL [THREADS]]
//!
//! MODEL is a folder, a .gguf file, or `dummy:FOLDER` for random weights of the folder's config.json; without one the demo
//! model is fetched. Figures are medians of several repeats, with the least and the greatest.

use std::path::Path;
use std::time::Instant;

use engine::SamplingParams;
use engine::runner::{
    Admission, BlockId, ModelRunner, RowOutcome, SlotId, Step, StepRow, TokenId, Want,
};
use model::{CpuRunner, KvMemory, LoadFormat, OpenOptions, demo, open};

const PREFILL_LEN: usize = 512;
const DECODE_LEN: usize = 128;
const REPEATS: usize = 5;
const MAX_BATCH: usize = 16;
/// Blocks a sequence of this bench needs at most.
const BLOCKS_PER_SEQ: usize = PREFILL_LEN / 16 + 1;
/// Tokens of a sequence before it decodes.
const PROMPT_LEN: usize = 128;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
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
    prefill(&mut runner, 1)?;
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
        prefill(&mut runner, PREFILL_LEN)
    })?;
    for batch in [1, 2, 4, 8, MAX_BATCH] {
        let name = format!("decode, batch {batch}");
        report(&name, batch * DECODE_LEN, || decode(&mut runner, batch))?;
    }
    Ok(())
}

/// What is said does not matter to the speed.
fn prompt(len: usize) -> Vec<TokenId> {
    (0..len as u32).map(|i| (i * 31 + 7) % 256).collect()
}

/// A prompt of `len` tokens, and the token after it.
fn prefill(runner: &mut CpuRunner, len: usize) -> Result<(), Failure> {
    step(runner, 1, Some(&prompt(len)), 0, len)
}

/// A greedy token of each of `batch` sequences at a time. Their prompts are not computed: any keys and values take as long.
fn decode(runner: &mut CpuRunner, batch: usize) -> Result<(), Failure> {
    let prompt = prompt(PROMPT_LEN);
    for start in PROMPT_LEN - 1..PROMPT_LEN - 1 + DECODE_LEN {
        let admitted = (start < PROMPT_LEN).then_some(&prompt[..]);
        step(runner, batch, admitted, start, 1)?;
    }
    Ok(())
}

/// One step of `batch` sequences, each of `len` tokens from `start` on. They begin with what is admitted.
fn step(
    runner: &mut CpuRunner,
    batch: usize,
    admitted: Option<&[TokenId]>,
    start: usize,
    len: usize,
) -> Result<(), Failure> {
    let sampling = SamplingParams::default();
    let slots = (0..batch as u32).map(SlotId);
    let admission = |(slot, tokens)| Admission {
        slot,
        tokens,
        prompt_len: tokens.len(),
        sampling: &sampling,
    };
    let admissions: Vec<Admission<'_>> = slots
        .clone()
        .filter_map(|slot| Some((slot, admitted?)))
        .map(admission)
        .collect();
    let blocks: Vec<BlockId> = (0..(batch * BLOCKS_PER_SEQ) as u32).map(BlockId).collect();
    let rows: Vec<StepRow<'_>> = slots
        .zip(blocks.chunks_exact(BLOCKS_PER_SEQ))
        .map(|(slot, blocks)| StepRow {
            slot,
            start,
            len,
            drafts: &[],
            blocks,
            want: Want::Token,
        })
        .collect();
    runner.launch(&Step {
        admissions: &admissions,
        rows: &rows,
    });
    let outcomes = runner.collect()?;
    let failed = outcomes.into_iter().find_map(|outcome| match outcome {
        RowOutcome::Failed(why) => Some(why.into()),
        RowOutcome::Computed
        | RowOutcome::Chosen(_)
        | RowOutcome::Undecided
        | RowOutcome::Scored(_)
        | RowOutcome::Hidden(_) => None,
    });
    failed.map_or(Ok(()), Err)
}

/// Prints the tokens per second of several runs of `work`, which computes `num_tokens`.
fn report(
    name: &str,
    num_tokens: usize,
    mut work: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
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
