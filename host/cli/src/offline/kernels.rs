//! Each GPU kernel, timed: on Qwen3-4B's shapes, by graphs of many launches over more memory than the cache holds.

use anyhow::Result;
use half::bf16;
use kernels::cuda::{
    CudaError, Device, Timing, Work,
    cublas_lt::{LtMatmul, Output, Rows},
    decode_attention,
    elementwise::{noise, read_bandwidth},
    gemm::{self, Weight},
    prefill_attention, sampling,
};
use serde::Serialize;

use crate::args::KernelBenchArgs;

/// Rows of the skinny products that are timed.
const NUM_ROWS: [usize; 7] = [1, 2, 8, 16, 32, 48, 64];

#[derive(Serialize)]
struct Report {
    device: String,
    version: &'static str,
    /// Bytes a second that a kernel reads which does nothing else.
    read_bandwidth: f64,
    /// Operations a second of a bf16 product of 8192 x 8192 x 8192, by cuBLASLt.
    matmul_rate: f64,
    kernels: Vec<Timed>,
}

#[derive(Serialize)]
struct Timed {
    op: String,
    shape: String,
    us: f64,
    /// Bytes that have to be moved a second, of an op that memory limits.
    bytes_per_second: Option<f64>,
    /// Operations that have to be done a second, of one that arithmetic limits.
    flop_per_second: Option<f64>,
    /// Of the read bandwidth or the matmul rate above.
    share_of_roofline: f64,
}

pub(crate) fn run(args: &KernelBenchArgs) -> Result<()> {
    let device = Device::open()?;
    let mut report = Report {
        device: device.name()?,
        version: env!("CARGO_PKG_VERSION"),
        read_bandwidth: read_bandwidth(&device)?,
        matmul_rate: matmul_rate(&device)?,
        kernels: Vec::new(),
    };
    let mut timings = gemm::timing::measure(&device, &NUM_ROWS)?;
    timings.extend(decode_attention::timing::measure(&device, 32, 8, 128)?);
    timings.extend(prefill_attention::time(&device)?);
    timings.extend(sampling::time(&device)?);
    timings.into_iter().for_each(|timing| report.add(timing));
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => report.print(),
    }
    Ok(())
}

impl Report {
    fn add(&mut self, timing: Timing) {
        let rate = timing.rate();
        let (bytes_per_second, flop_per_second, most) = match timing.work {
            Work::Bytes(_) => (Some(rate), None, self.read_bandwidth),
            Work::Flop(_) => (None, Some(rate), self.matmul_rate),
        };
        self.kernels.push(Timed {
            op: timing.op,
            shape: timing.shape,
            us: timing.us,
            bytes_per_second,
            flop_per_second,
            share_of_roofline: rate / most,
        });
    }

    fn print(&self) {
        println!(
            "{}: reads {:.0} GB/s, multiplies at {:.0} TFLOP/s",
            self.device,
            self.read_bandwidth / 1e9,
            self.matmul_rate / 1e12
        );
        for Timed {
            op,
            shape,
            us,
            bytes_per_second,
            flop_per_second,
            share_of_roofline,
        } in &self.kernels
        {
            let rate = match (bytes_per_second, flop_per_second) {
                (Some(bytes), _) => format!("{:.0} GB/s", bytes / 1e9),
                (None, flop) => format!("{:.0} TFLOP/s", flop.unwrap_or(0.0) / 1e12),
            };
            println!(
                "{op:<48} {shape:<36} {us:>9.1} us {rate:>12} {:>5.0} %",
                share_of_roofline * 100.0
            );
        }
    }
}

/// What the card multiplies at most: a square product, on noise, since zeros are faster.
fn matmul_rate(device: &Device) -> Result<f64, CudaError> {
    const N: usize = 8192;
    let matmul = LtMatmul::new(device)?;
    let [w, x, y] = ["w", "x", "y"].map(|name| device.zeros::<bf16>(name, N * N));
    let (w, x, y) = (w?, x?, y?);
    noise(device, w.view(), 1, 1.0)?;
    noise(device, x.view(), 2, 1.0)?;
    let weight = Weight {
        view: w.view(),
        num_rows: N,
        num_cols: N,
    };
    let mut times = Vec::new();
    for _ in 0..12 {
        let begin = device.timed_event()?;
        matmul.launch(
            device,
            &weight,
            x.view(),
            N,
            Rows::Batch,
            Output::Store(y.view()),
        )?;
        times.push(begin.elapsed_ms(&device.timed_event()?)?);
    }
    times.sort_by(f32::total_cmp);
    Ok(2.0 * (N as f64).powi(3) / f64::from(times[times.len() / 2]) * 1e3)
}
