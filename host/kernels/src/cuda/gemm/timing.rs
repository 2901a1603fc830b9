//! How long the products of one decode step take, with Qwen3-4B's shapes: graph replays over 36 layers' own weights, so that none is
//! still in the cache.

use half::bf16;

use super::{Epilogue, MAX_ROWS, Plan, RowScale, SkinnyGemm, Weight};
use crate::cuda::{Buffer, CudaError, Device};

const HIDDEN: usize = 2560;
const ATTENTION: usize = 4096;
const FORWARD: usize = 9728;
const NUM_LAYERS: usize = 36;
const NUM_HEADS: usize = 2;
const NUM_REPLAYS: usize = 9;

/// A product of the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
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
    pub const ALL: [Self; 5] = [Self::Qkv, Self::O, Self::GateUp, Self::Down, Self::Head];

    /// The weight's N and K.
    pub fn shape(self) -> (usize, usize) {
        match self {
            Self::Qkv => (6144, HIDDEN),
            Self::O => (HIDDEN, ATTENTION),
            Self::GateUp => (2 * FORWARD, HIDDEN),
            Self::Down => (HIDDEN, FORWARD),
            Self::Head => (151_936, HIDDEN),
        }
    }

    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qkv => "qkv",
            Self::O => "o",
            Self::GateUp => "gate_up",
            Self::Down => "down",
            Self::Head => "head",
        }
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The product's name, or `step`: 36 layers and the head.
    pub op: &'static str,
    /// Rows of x.
    pub m: usize,
    /// Outputs; none of a step.
    pub n: usize,
    /// Inputs; none of a step.
    pub k: usize,
    /// Microseconds of one.
    pub us: f32,
    /// Bytes of weights that one reads.
    pub bytes: usize,
}

/// Times every product and the whole step for each number of rows in `rows`.
pub fn measure(device: &Device, rows: &[usize]) -> Result<Vec<Row>, CudaError> {
    let bench = Bench::new(device, super::num_splits)?;
    let mut table = Vec::new();
    for &m in rows {
        let plan = |op: Op| {
            let (n, k) = op.shape();
            Plan::of(device.into(), m, n, k)
        };
        for op in Op::ALL {
            let (n, k) = op.shape();
            table.push(Row {
                op: op.name(),
                m,
                n,
                k,
                us: bench.time(device, op, m, plan(op))?,
                bytes: n * k * 2,
            });
        }
        table.push(Row {
            op: "step",
            m,
            n: 0,
            k: 0,
            us: bench.time_step(device, m, plan)?,
            bytes: Bench::step_bytes(),
        });
    }
    Ok(table)
}

/// Weights, inputs and outputs of a step, 9 GB.
pub struct Bench {
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
    /// Random weights. `splits` as [`super::num_splits`], or the most that plans will have.
    pub fn new(device: &Device, splits: impl Fn(usize, usize) -> usize) -> Result<Self, CudaError> {
        let shapes = Op::ALL.map(Op::shape);
        let largest = shapes.iter().map(|(n, k)| n * k).max().unwrap_or(0);
        let mut state = 1_u64;
        // Zeros would be faster than numbers: they draw less power.
        let numbers: Vec<bf16> = (0..largest + 64 * 1024)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                bf16::from_f32((state >> 40) as f32 / 16_777_216.0 * 0.1 - 0.05)
            })
            .collect();
        let mut weights: [Vec<Buffer<bf16>>; 5] = Default::default();
        for (op, weights) in Op::ALL.iter().zip(&mut weights) {
            let (n, k) = op.shape();
            let copies = if *op == Op::Head {
                NUM_HEADS
            } else {
                NUM_LAYERS
            };
            for copy in 0..copies {
                let start = copy * 1024;
                weights.push(device.upload("weights", &numbers[start..start + n * k])?);
            }
        }
        let take = |len: usize| device.upload("activations", &numbers[..len]);
        Ok(Self {
            gemm: SkinnyGemm::with_splits(device, &shapes, |&(n, k)| splits(n, k))?,
            weights,
            attention: take(MAX_ROWS * ATTENTION)?,
            x: take(MAX_ROWS * HIDDEN)?,
            wide: take(MAX_ROWS * 2 * FORWARD)?,
            residual: device.zeros("residual", MAX_ROWS * HIDDEN)?,
            sums: device.upload("sums of squares", &vec![1.0; MAX_ROWS * HIDDEN / 16])?,
            norm_weight: take(HIDDEN)?,
            logits: device.zeros("logits", MAX_ROWS * Op::Head.shape().0)?,
        })
    }

    /// Microseconds of one product.
    pub fn time(&self, device: &Device, op: Op, m: usize, plan: Plan) -> Result<f32, CudaError> {
        let weights = &self.weights[op as usize];
        let total = self.replay(device, || {
            for layer in 0..weights.len() {
                self.launch(device, op, layer, m, plan)?;
            }
            Ok(())
        })?;
        Ok(total / weights.len() as f32)
    }

    /// Microseconds of 36 layers and the head.
    pub fn time_step(
        &self,
        device: &Device,
        m: usize,
        plan: impl Fn(Op) -> Plan,
    ) -> Result<f32, CudaError> {
        self.replay(device, || {
            for layer in 0..NUM_LAYERS {
                for op in &Op::ALL[..4] {
                    self.launch(device, *op, layer, m, plan(*op))?;
                }
            }
            self.launch(device, Op::Head, 0, m, plan(Op::Head))
        })
    }

    /// Bytes of weights that [`Bench::time_step`] reads.
    pub fn step_bytes() -> usize {
        let bytes = |op: &Op| op.shape().0 * op.shape().1 * 2;
        Op::ALL[..4].iter().map(bytes).sum::<usize>() * NUM_LAYERS + bytes(&Op::Head)
    }

    fn launch(
        &self,
        device: &Device,
        op: Op,
        layer: usize,
        m: usize,
        plan: Plan,
    ) -> Result<(), CudaError> {
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
            .launch_as(plan, device, &weight, x.view(), m, scale, epilogue)
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
