//! How long choosing takes, in Qwen3's vocabulary.

use super::{SampleInputs, SampleRow, Sampler};
use crate::cuda::{Buffer, CudaError, Device, Timing, View, Work};

const VOCAB_LEN: usize = 151_936;
/// Rows of logits, 156 MB: no launch finds those of the launch before it.
const NUM_LOGITS_ROWS: usize = 256;
const NUM_LAUNCHES: usize = 32;
const NUM_REPEATS: usize = 15;

/// Times what requests often ask for, at 1 to 128 rows.
pub fn time(device: &Device) -> Result<Vec<Timing>, CudaError> {
    let sampler = Sampler::new(device, 128, VOCAB_LEN, 128)?;
    let logits = logits(device)?;
    let mask = device.upload("mask", &vec![0x7fff_ffffu32; VOCAB_LEN.div_ceil(32)])?;
    let mut timings = Vec::new();
    for (op, settings) in ops() {
        for rows in [1, 16, 64, 128] {
            let us = time_one(device, &sampler, logits.view(), mask.view(), settings, rows)?;
            timings.push(Timing {
                op: format!("sampling, {op}"),
                shape: format!("{rows} rows"),
                us,
                work: Work::Bytes(rows * VOCAB_LEN * size_of::<f32>()),
            });
        }
    }
    Ok(timings)
}

fn ops() -> Vec<(&'static str, SampleRow)> {
    let greedy = SampleRow::greedy(0, 0);
    let temperature = SampleRow {
        temperature: 0.7,
        ..greedy
    };
    let qwen3 = SampleRow {
        top_k: 20,
        top_p: 0.95,
        ..temperature
    };
    let shaped = SampleRow {
        flags: SampleRow::PENALTIES | SampleRow::MASKED,
        mask_len: VOCAB_LEN.div_ceil(32) as u32,
        presence_penalty: 1.5,
        ..qwen3
    };
    let flat = SampleRow {
        temperature: 2.0,
        top_p: 0.95,
        ..greedy
    };
    vec![
        ("greedy", greedy),
        (
            "greedy, 20 logprobs",
            SampleRow {
                num_logprobs: 20,
                ..greedy
            },
        ),
        ("temperature 0.7", temperature),
        (
            "temperature 0.7, top-p 0.95",
            SampleRow {
                top_p: 0.95,
                ..temperature
            },
        ),
        ("temperature 0.7, top-k 20, top-p 0.95", qwen3),
        ("the same, penalties, mask", shaped),
        ("temperature 2, top-p 0.95", flat),
    ]
}

/// A bell of logits with some that stand out, in 16 rows that repeat.
fn logits(device: &Device) -> Result<Buffer<f32>, CudaError> {
    let mut state = 1u64;
    let mut uniform = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 24) as f32
    };
    let buffer = device.zeros("logits", NUM_LOGITS_ROWS * VOCAB_LEN)?;
    let mut some = vec![0.0; 16 * VOCAB_LEN];
    for logit in &mut some {
        *logit = 3.0 * ((0..4).map(|_| uniform()).sum::<f32>() - 2.0) * 1.7;
    }
    for row in some.chunks_mut(VOCAB_LEN) {
        for _ in 0..50 {
            row[(uniform() * VOCAB_LEN as f32) as usize] = 10.0 + 12.0 * uniform();
        }
    }
    for part in 0..NUM_LOGITS_ROWS / 16 {
        let to = buffer.view().slice(part * some.len(), some.len());
        device.write(to, &some)?;
    }
    Ok(buffer)
}

fn time_one(
    device: &Device,
    sampler: &Sampler,
    logits: View<'_, f32>,
    mask_words: View<'_, u32>,
    settings: SampleRow,
    num_rows: usize,
) -> Result<f64, CudaError> {
    let mut rows = Vec::new();
    for index in 0..NUM_LAUNCHES * num_rows {
        rows.push(SampleRow {
            slot: (index % num_rows) as i32,
            logits_row: (index % NUM_LOGITS_ROWS) as u32,
            position: index as u64,
            ..settings
        });
    }
    let rows = device.upload("rows", &rows)?;
    let mut graph = device.capture(|| {
        for launch in 0..NUM_LAUNCHES {
            let inputs = SampleInputs {
                logits,
                rows: rows.view().slice(launch * num_rows, num_rows),
                bias_tokens: View::none(),
                bias_values: View::none(),
                stop_tokens: View::none(),
                mask_words,
            };
            sampler.launch(device, &inputs, 0)?;
        }
        Ok::<_, CudaError>(())
    })?;
    let mut times = Vec::new();
    graph.launch()?;
    for _ in 0..NUM_REPEATS {
        let start = device.timed_event()?;
        graph.launch()?;
        let end = device.timed_event()?;
        times.push(f64::from(start.elapsed_ms(&end)?));
    }
    times.sort_by(f64::total_cmp);
    Ok(times[NUM_REPEATS / 2] * 1e3 / NUM_LAUNCHES as f64)
}
