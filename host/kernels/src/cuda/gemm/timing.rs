//! How long the products of one decode step take, with Qwen3-4B's shapes: graph replays over 36 layers' own weights, so that none is
//! still in the cache.

use half::bf16;

use super::{Epilogue, MAX_ROWS, RowScale, SkinnyGemm, Weight};
use crate::cuda::{Buffer, CudaError, Device, Timing, Work, elementwise::noise};

const HIDDEN: usize = 2560;
const ATTENTION: usize = 4096;
const FORWARD: usize = 9728;
const NUM_LAYERS: usize = 36;
const NUM_HEADS: usize = 2;
const NUM_REPLAYS: usize = 9;

/// A product of the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    /// Queries, keys and values.
    Qkv,
    /// Attention's output.
    O,
    /// The feed-forward's first.
    GateUp,
    /// Its second.
    Down,
    /// Logits.
    Head,
}

impl Op {
    /// In the order of a step.
    const ALL: [Self; 5] = [Self::Qkv, Self::O, Self::GateUp, Self::Down, Self::Head];

    /// The weight's N and K.
    fn shape(self) -> (usize, usize) {
        match self {
            Self::Qkv => (6144, HIDDEN),
            Self::O => (HIDDEN, ATTENTION),
            Self::GateUp => (2 * FORWARD, HIDDEN),
            Self::Down => (HIDDEN, FORWARD),
            Self::Head => (151_936, HIDDEN),
        }
    }

    /// For tables.
    fn name(self) -> &'static str {
        match self {
            Self::Qkv => "qkv",
            Self::O => "o",
            Self::GateUp => "gate_up",
            Self::Down => "down",
            Self::Head => "head",
        }
    }
}

/// Times every product and the products of a whole step for each number of rows in `rows`.
pub fn measure(device: &Device, rows: &[usize]) -> Result<Vec<Timing>, CudaError> {
    let bench = Bench::new(device)?;
    let mut timings = Vec::new();
    for &m in rows {
        for op in Op::ALL {
            let (n, k) = op.shape();
            timings.push(Timing {
                op: format!("skinny product, {}", op.name()),
                shape: format!("{m} rows by {n} x {k}"),
                us: f64::from(bench.time(device, op, m)?),
                work: Work::Bytes(n * k * 2),
            });
        }
        timings.push(Timing {
            op: "skinny products of a step".to_owned(),
            shape: format!("{m} rows, {NUM_LAYERS} layers and the head"),
            us: f64::from(bench.time_step(device, m)?),
            work: Work::Bytes(Bench::step_bytes()),
        });
    }
    Ok(timings)
}

/// Weights, inputs and outputs of a step, 9 GB.
struct Bench {
    gemm: SkinnyGemm,
    /// In the order of [`Op::ALL`].
    weights: [Vec<Buffer<bf16>>; 5],
    attention: Buffer<bf16>,
    x: Buffer<bf16>,
    wide: Buffer<bf16>,
    residual: Buffer<f32>,
    sums: Buffer<f32>,
    norm_weight: Buffer<bf16>,
    logits: Buffer<f32>,
}

impl Bench {
    fn new(device: &Device) -> Result<Self, CudaError> {
        let shapes = Op::ALL.map(Op::shape);
        // Zeros would be faster than numbers: they draw less power.
        let random = |what: &'static str, len: usize, seed: usize| {
            let buffer = device.zeros(what, len)?;
            noise(device, buffer.view(), seed as u64, 0.1)?;
            Ok::<_, CudaError>(buffer)
        };
        let mut weights: [Vec<Buffer<bf16>>; 5] = Default::default();
        for (op, weights) in Op::ALL.iter().zip(&mut weights) {
            let (n, k) = op.shape();
            let copies = if *op == Op::Head {
                NUM_HEADS
            } else {
                NUM_LAYERS
            };
            for copy in 0..copies {
                weights.push(random("weights", n * k, copy)?);
            }
        }
        Ok(Self {
            gemm: SkinnyGemm::new(device, &shapes)?,
            weights,
            attention: random("activations", MAX_ROWS * ATTENTION, 1)?,
            x: random("activations", MAX_ROWS * HIDDEN, 2)?,
            wide: random("activations", MAX_ROWS * 2 * FORWARD, 3)?,
            residual: device.zeros("residual", MAX_ROWS * HIDDEN)?,
            sums: device.upload("sums of squares", &vec![1.0; MAX_ROWS * HIDDEN / 16])?,
            norm_weight: random("a norm", HIDDEN, 4)?,
            logits: device.zeros("logits", MAX_ROWS * Op::Head.shape().0)?,
        })
    }

    /// Microseconds of one product.
    fn time(&self, device: &Device, op: Op, m: usize) -> Result<f32, CudaError> {
        let weights = &self.weights[op as usize];
        let total = self.replay(device, || {
            for layer in 0..weights.len() {
                self.launch(device, op, layer, m)?;
            }
            Ok(())
        })?;
        Ok(total / weights.len() as f32)
    }

    /// Microseconds of 36 layers and the head.
    fn time_step(&self, device: &Device, m: usize) -> Result<f32, CudaError> {
        self.replay(device, || {
            for layer in 0..NUM_LAYERS {
                for op in &Op::ALL[..4] {
                    self.launch(device, *op, layer, m)?;
                }
            }
            self.launch(device, Op::Head, 0, m)
        })
    }

    /// Bytes of weights that [`Bench::time_step`] reads.
    fn step_bytes() -> usize {
        let bytes = |op: &Op| op.shape().0 * op.shape().1 * 2;
        Op::ALL[..4].iter().map(bytes).sum::<usize>() * NUM_LAYERS + bytes(&Op::Head)
    }

    fn launch(&self, device: &Device, op: Op, layer: usize, m: usize) -> Result<(), CudaError> {
        let (num_rows, num_cols) = op.shape();
        let weight = Weight {
            view: self.weights[op as usize][layer].view(),
            num_rows,
            num_cols,
        };
        let scale = Some(RowScale {
            sums: self.sums.view(),
            eps: 1e-6,
        });
        let residual = Epilogue::Residual {
            residual: self.residual.view(),
            norm_weight: self.norm_weight.view(),
            out: self.x.view(),
            sums_out: self.sums.view(),
        };
        let out = self.wide.view();
        let logits = self.logits.view();
        let (x, scale, epilogue) = match op {
            Op::Qkv => (&self.x, scale, Epilogue::Store { out }),
            Op::O => (&self.attention, None, residual),
            Op::GateUp => (&self.x, scale, Epilogue::SiluMul { out }),
            Op::Down => (&self.wide, None, residual),
            Op::Head => (&self.x, scale, Epilogue::Logits { out: logits }),
        };
        self.gemm
            .launch(device, &weight, x.view(), m, scale, epilogue)
    }

    /// The median of some replays, in microseconds.
    fn replay(
        &self,
        device: &Device,
        work: impl FnOnce() -> Result<(), CudaError>,
    ) -> Result<f32, CudaError> {
        let mut graph = device.capture(work)?;
        graph.launch()?;
        let mut times = Vec::new();
        for _ in 0..NUM_REPLAYS {
            let start = device.timed_event()?;
            graph.launch()?;
            times.push(start.elapsed_ms(&device.timed_event()?)? * 1000.0);
        }
        times.sort_by(f32::total_cmp);
        Ok(times[NUM_REPLAYS / 2])
    }
}
