//! Decode steps and prompts of a model, timed.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use anyhow::{Context, Result};
use engine::{EngineHandle, Request, SamplingParams};
use kernels::cuda::{Device, elementwise::read_bandwidth};
use serde::Serialize;
use tokio::task::JoinSet;

use super::{each_token, random_prompt, start};
use crate::args::EngineBenchArgs;

/// What was measured, and on what.
#[derive(Serialize)]
struct Report {
    device: String,
    version: &'static str,
    /// Bytes a second that a kernel reads which does nothing else; `null` on the CPU.
    read_bandwidth: Option<f64>,
    weight_bytes: Option<u64>,
    decode: Vec<Decode>,
    prefill: Vec<Prefill>,
}

#[derive(Serialize)]
struct Decode {
    batch_size: usize,
    prompt_len: usize,
    output_len: usize,
    /// Between the token that every sequence has and the last: no prompts in it.
    ms_per_step: f64,
    tokens_per_second: f64,
    /// Bytes that a step has to read (weights, and keys and values at the mean length) over the read bandwidth.
    floor_ms: Option<f64>,
}

#[derive(Serialize)]
struct Prefill {
    prompt_len: usize,
    /// From the request to its first token, the best of three.
    ms: f64,
    tokens_per_second: f64,
}

pub(crate) async fn run(args: &EngineBenchArgs) -> Result<()> {
    anyhow::ensure!(
        args.output_len >= 2,
        "--output-len must be at least 2: a step is timed from token to token"
    );
    let read_bandwidth = measure_bandwidth()?;
    let (engine, thread, limits, summary) = start(&args.model)?;
    let batch_sizes = batch_sizes(args.batch_sizes.as_deref(), limits.max_num_seqs)?;
    let mut report = Report {
        device: summary
            .as_ref()
            .map_or("CPU".to_owned(), |summary| summary.device.clone()),
        version: env!("CARGO_PKG_VERSION"),
        read_bandwidth: summary.as_ref().and(read_bandwidth),
        weight_bytes: summary.as_ref().map(|summary| summary.memory.step_weights),
        decode: Vec::new(),
        prefill: Vec::new(),
    };
    let kv_bytes = summary.as_ref().map(|summary| summary.memory.token_bytes);
    print_head(args, &report);
    for &prompt_len in &args.prompt_lens {
        for &batch_size in &batch_sizes {
            let ms_per_step = time_decode(&engine, batch_size, prompt_len, args.output_len).await?;
            let mean_len = (prompt_len + args.output_len / 2) as u64;
            let floor_ms = report
                .read_bandwidth
                .zip(report.weight_bytes)
                .zip(kv_bytes)
                .map(|((bandwidth, weights), kv)| {
                    (weights + batch_size as u64 * mean_len * kv) as f64 / bandwidth * 1e3
                });
            let tokens_per_second = batch_size as f64 / ms_per_step * 1e3;
            let decode = Decode {
                batch_size,
                prompt_len,
                output_len: args.output_len,
                ms_per_step,
                tokens_per_second,
                floor_ms,
            };
            decode.print(args);
            report.decode.push(decode);
        }
    }
    for &prompt_len in &args.prefill_lens {
        let ms = time_prefill(&engine, prompt_len).await?;
        let prefill = Prefill {
            prompt_len,
            ms,
            tokens_per_second: prompt_len as f64 / ms * 1e3,
        };
        prefill.print(args);
        report.prefill.push(prefill);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    drop(engine);
    thread
        .join()
        .expect("the engine's thread does not panic")
        .context("the engine broke")
}

/// What was asked for, or of the usual sizes those that may run at once.
fn batch_sizes(asked: Option<&[usize]>, max_num_seqs: usize) -> Result<Vec<usize>> {
    let possible = 1..=max_num_seqs;
    let Some(asked) = asked else {
        let usual = [1, 2, 4, 8, 10, 16, 32, 64, 128];
        return Ok(usual
            .into_iter()
            .filter(|size| possible.contains(size))
            .collect());
    };
    match asked.iter().find(|size| !possible.contains(size)) {
        None => Ok(asked.to_vec()),
        Some(size) => anyhow::bail!(
            "--batch-sizes: {size} is not from 1 to {max_num_seqs}, the most sequences of a step (--max-num-seqs)"
        ),
    }
}

/// Before the model takes the memory.
fn measure_bandwidth() -> Result<Option<f64>> {
    if !Device::is_present() {
        return Ok(None);
    }
    Ok(Some(read_bandwidth(&Device::open()?)?))
}

/// Milliseconds a step of `batch_size` sequences.
async fn time_decode(
    engine: &EngineHandle,
    batch_size: usize,
    prompt_len: usize,
    output_len: usize,
) -> Result<f64> {
    let vocab_len = engine.limits().vocab_len;
    // When each token came, of each sequence.
    let times = Arc::new(Mutex::new(vec![Vec::with_capacity(output_len); batch_size]));
    let mut running = JoinSet::new();
    for number in 0..batch_size {
        let prompt = random_prompt(
            (batch_size * 1_000_003 + prompt_len * 1009 + number) as u64,
            prompt_len,
            vocab_len,
        );
        // The last to begin would end last; longer answers of the others keep the batch full until then.
        let request = Request {
            prompt,
            sampling: SamplingParams::default(),
            max_tokens: output_len,
            ..Request::default()
        };
        let generation = engine.submit(request, 1)?.pop().expect("one sample");
        let times = times.clone();
        running.spawn(async move {
            each_token(generation, |_| {
                times.lock().expect("nobody panics")[number].push(Instant::now())
            })
            .await
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    let times = times.lock().expect("nobody panics");
    let begin = times
        .iter()
        .filter_map(|times| times.first())
        .max()
        .context("no token came")?;
    let end = times
        .iter()
        .filter_map(|times| times.last())
        .min()
        .context("no token came")?;
    let steps = times
        .iter()
        .map(|times| {
            times
                .iter()
                .filter(|time| *time > begin && *time <= end)
                .count()
        })
        .max()
        .unwrap_or(0);
    anyhow::ensure!(
        steps > 0,
        "the sequences did not run together; raise --max-num-seqs or --output-len"
    );
    Ok((*end - *begin).as_secs_f64() * 1e3 / steps as f64)
}

async fn time_prefill(engine: &EngineHandle, prompt_len: usize) -> Result<f64> {
    let mut best = f64::INFINITY;
    for repeat in 0..3 {
        let prompt = random_prompt(repeat + 77, prompt_len, engine.limits().vocab_len);
        let request = Request {
            prompt,
            max_tokens: 1,
            ..Request::default()
        };
        let begin = Instant::now();
        each_token(
            engine.submit(request, 1)?.pop().expect("one sample"),
            |_| {},
        )
        .await?;
        best = best.min(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(best)
}

fn print_head(args: &EngineBenchArgs, report: &Report) {
    if !args.json {
        let bandwidth = report.read_bandwidth.map_or(String::new(), |bandwidth| {
            format!(", reads {:.0} GB/s", bandwidth / 1e9)
        });
        println!("{}{bandwidth}", report.device);
        println!(
            "{:>6} {:>7} {:>9} {:>10} {:>9}",
            "batch", "prompt", "ms/step", "tokens/s", "of floor"
        );
    }
}

impl Decode {
    fn print(&self, args: &EngineBenchArgs) {
        if !args.json {
            let share = self.floor_ms.map_or("-".to_owned(), |floor| {
                format!("{:.0} %", floor / self.ms_per_step * 100.0)
            });
            println!(
                "{:>6} {:>7} {:>9.3} {:>10.0} {:>9}",
                self.batch_size, self.prompt_len, self.ms_per_step, self.tokens_per_second, share
            );
        }
    }
}

impl Prefill {
    fn print(&self, args: &EngineBenchArgs) {
        if !args.json {
            println!(
                "prompt of {}: first token after {:.1} ms, {:.0} tokens/s",
                self.prompt_len, self.ms, self.tokens_per_second
            );
        }
    }
}
