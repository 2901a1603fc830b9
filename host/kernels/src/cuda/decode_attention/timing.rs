//! How long decode attention takes, for `host benchmark kernels`.

use half::bf16;

use super::{DecodeAttention, DecodeBatch, chunks_bucket};
use crate::cuda::{CudaError, Device, PAGE_LEN, QkNorms, Timing, Work};

/// Rows and tokens of each.
const CASES: [(usize, usize); 18] = [
    (1, 256),
    (10, 256),
    (16, 256),
    (32, 256),
    (64, 256),
    (128, 256),
    (1, 1024),
    (10, 1024),
    (16, 1024),
    (32, 1024),
    (64, 1024),
    (128, 1024),
    (1, 4096),
    (10, 4096),
    (16, 4096),
    (32, 4096),
    (64, 4096),
    (128, 4096),
];
/// From 64 to 4096 tokens.
const MIXED: [usize; 64] = {
    let mut len = [0; 64];
    let mut row = 0;
    while row < 64 {
        // No order: 29 steps through all 64 places.
        len[row] = 64 * (row * 29 % 64 + 1);
        row += 1;
    }
    len
};
/// Bytes of keys and values that are read before any is read again: several times the largest L2 cache.
const WORKING_SET: usize = 512 << 20;
const MAX_LAUNCHES: usize = 128;
const REPEATS: usize = 7;

/// Times launches one after the other over different layers' caches, for a model with these heads.
pub fn measure(
    device: &Device,
    num_heads: usize,
    num_kv_heads: usize,
    head_len: usize,
) -> Result<Vec<Timing>, CudaError> {
    let mut timings = Vec::new();
    for (m, ctx) in CASES {
        let op = DecodeAttention::new(device, m, num_heads, num_kv_heads, head_len)?;
        timings.push(measure_lengths(device, &op, &vec![ctx; m])?);
    }
    let op = DecodeAttention::new(device, MIXED.len(), num_heads, num_kv_heads, head_len)?;
    timings.push(Timing {
        op: "decode attention, mixed lengths".to_owned(),
        ..measure_lengths(device, &op, &MIXED)?
    });
    Ok(timings)
}

fn measure_lengths(
    device: &Device,
    op: &DecodeAttention,
    len: &[usize],
) -> Result<Timing, CudaError> {
    let m = len.len();
    let tokens: usize = len.iter().sum();
    let longest = len.iter().copied().max().unwrap_or(0);
    let mut num_pages = 0;
    let mut starts = Vec::new();
    for len in len {
        starts.push(num_pages as i32);
        num_pages += len.div_ceil(PAGE_LEN);
    }
    let layer = num_pages * op.page_numbers();
    let num_layers = (WORKING_SET / (2 * layer)).clamp(2, MAX_LAUNCHES);
    let cache = device.zeros::<bf16>("a cache to measure with", num_layers * layer)?;
    // Some small number.
    device.fill(cache.view(), 0x3c)?;
    // Pages of a sequence lie apart, as they do after a while: steps of a prime go through all places.
    let pages: Vec<i32> = (0..num_pages)
        .map(|i| (i * 1_000_003 % num_pages) as i32)
        .collect();
    let pages = device.upload("page numbers", &pages)?;
    let page_start = device.upload("page starts", &starts)?;
    let lengths: Vec<i32> = len.iter().map(|&len| len as i32).collect();
    let lengths = device.upload("lengths", &lengths)?;
    let rope = device.zeros::<f32>("rope", longest * op.head_len)?;
    let heads = op.num_heads + 2 * op.num_kv_heads;
    let qkv = device.upload(
        "queries, keys and values",
        &vec![bf16::from_f32(0.5); m * heads * op.head_len],
    )?;
    let weights = device.upload("norm weights", &vec![bf16::ONE; op.head_len])?;
    let out = device.zeros::<bf16>("output", m * op.num_heads * op.head_len)?;
    let batch = DecodeBatch {
        len: lengths.view(),
        page_start: page_start.view(),
        pages: pages.view(),
        rope: rope.view(),
        num_rows: m,
        num_chunks: chunks_bucket(longest),
    };
    let norm = QkNorms {
        q: weights.view(),
        k: weights.view(),
        eps: 1e-6,
    };
    let mut graph = device.capture(|| {
        (0..num_layers).try_for_each(|l| {
            op.launch(
                device,
                qkv.view(),
                cache.view().slice(l * layer, layer),
                Some(norm),
                &batch,
                out.view(),
            )
        })
    })?;
    graph.launch()?;
    let mut times = Vec::new();
    for _ in 0..REPEATS {
        let begin = device.timed_event()?;
        graph.launch()?;
        let end = device.timed_event()?;
        times.push(f64::from(begin.elapsed_ms(&end)?) * 1e3 / num_layers as f64);
    }
    times.sort_by(f64::total_cmp);
    Ok(Timing {
        op: "decode attention".to_owned(),
        shape: format!("{m} rows, context {}", tokens / m),
        us: times[REPEATS / 2],
        work: Work::Bytes(tokens * 2 * op.num_kv_heads * op.head_len * size_of::<bf16>()),
    })
}
