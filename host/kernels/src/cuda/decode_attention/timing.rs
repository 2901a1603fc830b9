//! How long decode attention takes, for `host benchmark kernels`.

use half::bf16;

use super::{DecodeAttention, DecodeBatch, PAGE_LEN, QkNorm, chunks_bucket};
use crate::cuda::{CudaError, Device};

/// A measured launch.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// What was launched.
    pub op: &'static str,
    /// Rows.
    pub m: usize,
    /// Tokens of each row's sequence.
    pub ctx: usize,
    /// Microseconds a launch, the median of several graphs.
    pub us: f64,
    /// What had to be read: keys and values.
    pub bytes: u64,
}

impl Timing {
    /// Gigabytes a second.
    pub fn gb_per_s(&self) -> f64 {
        self.bytes as f64 / self.us / 1e3
    }
}

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
        timings.push(measure_case(device, &op, m, ctx)?);
    }
    Ok(timings)
}

fn measure_case(
    device: &Device,
    op: &DecodeAttention,
    m: usize,
    ctx: usize,
) -> Result<Timing, CudaError> {
    let row_pages = ctx.div_ceil(PAGE_LEN);
    let layer = m * row_pages * op.page_numbers();
    let num_layers = (WORKING_SET / (2 * layer)).clamp(2, MAX_LAUNCHES);
    let cache = device.zeros::<bf16>("a cache to measure with", num_layers * layer)?;
    // Some small number.
    device.fill(cache.view(), 0x3c)?;
    // Pages of a sequence lie apart, as they do after a while.
    let pages: Vec<i32> = (0..m * row_pages)
        .map(|i| ((i % row_pages) * m + i / row_pages) as i32)
        .collect();
    let pages = device.upload("page numbers", &pages)?;
    let starts: Vec<i32> = (0..m).map(|row| (row * row_pages) as i32).collect();
    let page_start = device.upload("page starts", &starts)?;
    let len = device.upload("lengths", &vec![ctx as i32; m])?;
    let rope = device.zeros::<f32>("rope", ctx * op.head_len)?;
    let heads = op.num_heads + 2 * op.num_kv_heads;
    let qkv = device.upload(
        "queries, keys and values",
        &vec![bf16::from_f32(0.5); m * heads * op.head_len],
    )?;
    let weights = device.upload("norm weights", &vec![bf16::ONE; op.head_len])?;
    let out = device.zeros::<bf16>("output", m * op.num_heads * op.head_len)?;
    let batch = DecodeBatch {
        len: len.view(),
        page_start: page_start.view(),
        pages: pages.view(),
        rope: rope.view(),
        num_rows: m,
        num_chunks: chunks_bucket(ctx),
    };
    let norm = QkNorm {
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
        let begin = device.event(true)?;
        graph.launch()?;
        let end = device.event(true)?;
        times.push(f64::from(begin.elapsed_ms(&end)?) * 1e3 / num_layers as f64);
    }
    times.sort_by(f64::total_cmp);
    Ok(Timing {
        op: "decode attention",
        m,
        ctx,
        us: times[REPEATS / 2],
        bytes: (m * ctx * 2 * op.num_kv_heads * op.head_len * size_of::<bf16>()) as u64,
    })
}
