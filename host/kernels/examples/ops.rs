//! How fast each op runs on this machine, in the shapes of the demo model (SmolLM2-135M).
//!
//!     cargo run --release -p kernels --example ops [-- THREADS]
//!
//! Figures are the best of many repeats, so that other work on the machine matters little: what the op can do, not what a
//! busy machine gets. Weights come from the cache here; a model's do not.

use std::hint::black_box;
use std::time::Instant;

use kernels::{
    Cpu, HeadColumns, Isa, KvCache, Matrix, Pairing, RopeTable, Span, Write, attention, linear,
    rms_norm, rope, silu_mul,
};

fn main() {
    let threads = std::env::args()
        .nth(1)
        .and_then(|arg| arg.parse().ok())
        .unwrap_or(1);
    for isa in Isa::supported() {
        let cpu = Cpu::with_isa(isa, threads);
        println!("{}, {} thread(s)", isa.name(), cpu.team().num_threads());
        println!("{:<34}{:>10}{:>10}{:>12}", "op", "µs", "GB/s", "Gop/s");
        for m in [1, 2, 4, 8, 512] {
            linears(&cpu, m);
        }
        for context in [128, 512, 2048] {
            attentions(&cpu, 1, context);
        }
        attentions(&cpu, 512, 512);
        row_ops(&cpu, 1);
        row_ops(&cpu, 512);
        println!();
    }
}

/// Prints the best time of `work`, which reads `bytes` and does `ops` multiplications and additions.
fn report(name: &str, bytes: usize, ops: usize, mut work: impl FnMut()) {
    let mut best = f64::INFINITY;
    let (start, mut repeats) = (Instant::now(), 0);
    while repeats < 5 || start.elapsed().as_secs_f64() < 0.15 {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
        repeats += 1;
    }
    let (gb, gop) = (bytes as f64 / best * 1e-9, ops as f64 / best * 1e-9);
    println!("{name:<34}{:>10.2}{gb:>10.1}{gop:>12.1}", best * 1e6);
}

fn linears(cpu: &Cpu, m: usize) {
    let (rows, cols) = (3072, 576);
    let codes = |len: usize| -> Vec<u8> { (0..len).map(|i| (i * 37 % 53) as u8).collect() };
    let weights = || (0..rows * cols).map(|i| (i * 37 % 53) as f32 - 26.0);
    // Floats made of arbitrary bytes would often be subnormal, which is a hundred times slower.
    let f32: Vec<u8> = weights().flat_map(f32::to_le_bytes).collect();
    let bf16: Vec<u8> = weights()
        .flat_map(|w| half::bf16::from_f32(w).to_le_bytes())
        .collect();
    let matrices = [
        (
            "q4_1",
            Matrix::from_q4_1(&codes(rows * cols / 32 * 20), rows, cols),
        ),
        (
            "q8_0",
            Matrix::from_q8_0(&codes(rows * cols / 32 * 34), rows, cols),
        ),
        ("bf16", Matrix::from_bf16(&bf16, rows, cols)),
        ("f32", Matrix::from_f32(&f32, rows, cols)),
    ];
    let x: Vec<f32> = (0..m * cols).map(|i| (i % 17) as f32 - 8.0).collect();
    let mut y = vec![0.0; m * rows];
    for (name, matrix) in matrices {
        let w = matrix.expect("the bytes fit the shape");
        let name = format!("linear {name} {rows}x{cols}, m = {m}");
        report(&name, w.byte_len(), 2 * m * rows * cols, || {
            linear(cpu, &w, None, black_box(&x), &mut y, Write::Set);
        });
    }
}

fn attentions(cpu: &Cpu, m: usize, context: usize) {
    let (heads, kv_heads, head_len) = (9, 3, 64);
    let blocks: Vec<u32> = (0..context.div_ceil(16) as u32).collect();
    let mut cache = KvCache::new(blocks.len(), kv_heads, head_len);
    let row: Vec<f32> = (0..kv_heads * head_len)
        .map(|i| (i % 13) as f32 / 13.0)
        .collect();
    for position in 0..context {
        cache.write(blocks[position / 16], position % 16, &row, &row);
    }
    let x = vec![0.5; m * heads * head_len];
    let mut out = vec![0.0; x.len()];
    let columns = HeadColumns {
        row_len: heads * head_len,
        first: 0,
        num_heads: heads,
        head_len,
    };
    let span = Span {
        first_row: 0,
        len: m,
        start: context - m,
        blocks: &blocks,
    };
    let bytes = 2 * context * kv_heads * head_len * 4;
    let pairs = m * (2 * context - m + 1) / 2;
    report(
        &format!("attention m = {m}, context {context}"),
        bytes,
        4 * pairs * heads * head_len,
        || {
            attention(cpu, &cache, &[span], columns, black_box(&x), &mut out);
        },
    );
}

fn row_ops(cpu: &Cpu, m: usize) {
    let (hidden, ffn) = (576, 1536);
    let x = vec![0.5; m * hidden];
    let mut y = x.clone();
    let weight = vec![1.0; hidden];
    report(
        &format!("rms_norm {m}x{hidden}"),
        8 * m * hidden,
        4 * m * hidden,
        || {
            rms_norm(cpu, black_box(&x), &weight, 1e-5, &mut y);
        },
    );
    let frequencies: Vec<f32> = (0..32).map(|i| 1.0 / (i + 1) as f32).collect();
    let columns = HeadColumns {
        row_len: hidden,
        first: 0,
        num_heads: 9,
        head_len: 64,
    };
    let table = RopeTable::new(&frequencies, 0..m);
    report(
        &format!("rope {m}x{hidden}"),
        8 * m * hidden,
        3 * m * hidden,
        || {
            rope(cpu, &table, Pairing::Neighbours, black_box(&mut y), columns);
        },
    );
    let gate_up = vec![0.25; m * 2 * ffn];
    let mut gated = vec![0.0; m * ffn];
    report(
        &format!("silu_mul {m}x{ffn}"),
        12 * m * ffn,
        20 * m * ffn,
        || {
            silu_mul(cpu, black_box(&gate_up), ffn, &mut gated);
        },
    );
}
