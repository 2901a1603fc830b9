//! How long prompts take, in the heads of Qwen3-4B and 8B.

use half::bf16;

use super::{Sequences, Version, prefill_attention_by, tiles};
use crate::cuda::{CudaError, Device, Heads, PAGE_LEN, Timing, Work};

const HEADS: Heads = Heads {
    num_heads: 32,
    num_kv_heads: 8,
    head_len: 128,
};
/// Sequences, new tokens of each, tokens of each.
const CASES: &[(usize, usize, usize)] = &[
    (1, 128, 128),
    (1, 1024, 1024),
    (1, 2048, 2048),
    (1, 8192, 8192),
    (1, 32768, 32768),
    (64, 1024, 1024),
    (1, 512, 2560),
    (1, 2048, 8192),
];
/// Caches that take turns, as a model's layers do.
const LAYERS: usize = 4;
const REPEATS: usize = 5;

/// Times all kernels that the device has: the median of several replays of a graph of launches.
pub fn time(device: &Device) -> Result<Vec<Timing>, CudaError> {
    let mut timings = Vec::new();
    for &(num_sequences, q_len, kv_len) in CASES {
        let versions = match Version::of(device, HEADS) {
            Version::Mma => &[Version::Mma][..],
            Version::Wgmma => &[Version::Mma, Version::Wgmma],
        };
        for &version in versions {
            timings.push(time_one(device, version, num_sequences, q_len, kv_len)?);
        }
    }
    Ok(timings)
}

fn time_one(
    device: &Device,
    version: Version,
    num_sequences: usize,
    q_len: usize,
    kv_len: usize,
) -> Result<Timing, CudaError> {
    let Heads {
        num_heads,
        num_kv_heads,
        head_len,
    } = HEADS;
    let q_stride = (num_heads + 2 * num_kv_heads) * head_len;
    let rows = num_sequences * q_len;
    let pages_each = kv_len.div_ceil(PAGE_LEN);
    let num_pages = num_sequences * pages_each;
    let q = noise(device, rows * q_stride)?;
    let out = device.zeros("output", rows * num_heads * head_len)?;
    let caches = (0..LAYERS)
        .map(|_| noise(device, num_pages * 2 * num_kv_heads * PAGE_LEN * head_len))
        .collect::<Result<Vec<_>, _>>()?;
    let ints = |what, numbers: Vec<usize>| {
        let numbers: Vec<i32> = numbers.into_iter().map(|number| number as i32).collect();
        device.upload(what, &numbers)
    };
    let each = |number| vec![number; num_sequences];
    let every = |step| (0..num_sequences).map(|s| s * step).collect::<Vec<_>>();
    let work = tiles(
        &vec![q_len as i32; num_sequences],
        &vec![kv_len as i32; num_sequences],
        num_heads / num_kv_heads,
    );
    let tiles = device.upload("tiles", work.as_flattened())?;
    let (q_start, q_lens) = (ints("rows", every(q_len))?, ints("lengths", each(q_len))?);
    let (kv_lens, page_start) = (
        ints("lengths", each(kv_len))?,
        ints("pages", every(pages_each))?,
    );
    // Neighbours in a sequence are not neighbours in memory.
    let step = (num_pages * 2 / 3..)
        .find(|&step| gcd(step, num_pages) == 1)
        .expect("there are primes");
    let pages = ints(
        "pages",
        (0..num_pages).map(|page| page * step % num_pages).collect(),
    )?;
    let sequences = Sequences {
        tiles: tiles.view(),
        q_start: q_start.view(),
        q_len: q_lens.view(),
        kv_len: kv_lens.view(),
        page_start: page_start.view(),
        pages: pages.view(),
    };
    let pairs = q_len * (kv_len - q_len) + q_len * (q_len + 1) / 2;
    let flop = (4 * head_len * num_heads * num_sequences * pairs) as f64;
    // Some milliseconds of work, but no fewer launches than caches.
    let launches = LAYERS * ((2e12 / flop) as usize / LAYERS).clamp(1, 16);
    let mut graph = device.capture(|| {
        for i in 0..launches {
            let cache = caches[i % LAYERS].view();
            let q = (q.view(), q_stride);
            prefill_attention_by(version, device, HEADS, q, cache, &sequences, out.view())?;
        }
        Ok::<_, CudaError>(())
    })?;
    graph.launch()?;
    let mut times = Vec::new();
    for _ in 0..REPEATS {
        let start = device.timed_event()?;
        graph.launch()?;
        let end = device.timed_event()?;
        device.synchronize()?;
        times.push(f64::from(start.elapsed_ms(&end)?) * 1e3 / launches as f64);
    }
    times.sort_by(f64::total_cmp);
    Ok(Timing {
        op: format!("prefill attention, {version:?}"),
        shape: format!("{num_sequences} x {q_len} of {kv_len} tokens"),
        us: times[REPEATS / 2],
        work: Work::Flop(flop),
    })
}

/// Numbers around zero that look random: tensor cores draw less power, and so run faster, on zeros.
fn noise(device: &Device, len: usize) -> Result<crate::cuda::Buffer<bf16>, CudaError> {
    let mut state = 1u64;
    let some: Vec<bf16> = (0..len.min(1 << 22))
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            bf16::from_f32(((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * 1.7)
        })
        .collect();
    let buffer = device.zeros("numbers", len)?;
    for start in (0..len).step_by(some.len()) {
        let len = some.len().min(len - start);
        device.write(buffer.view().slice(start, len), &some[..len])?;
    }
    Ok(buffer)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
