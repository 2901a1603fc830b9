//! The activations of a pass: allocated once for the largest, viewed as many rows as one has.

use half::bf16;
use kernels::cuda::{Buffer, CudaError, Device, View, gemm};

use crate::config::ModelConfig;

/// What a pass may be asked for at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    /// Tokens of a pass.
    pub(super) num_tokens: usize,
    /// Rows of a decode batch.
    pub(super) num_rows: usize,
    /// The longest sequence.
    pub(super) num_positions: usize,
}

/// cuBLASLt has a plan for each number of rows, so there should not be too many.
pub(super) fn padded_len(num_tokens: usize) -> usize {
    match num_tokens {
        0..=128 => num_tokens.next_multiple_of(16),
        _ => num_tokens.next_multiple_of(64),
    }
}

impl Capacity {
    /// Rows of activations: prompts are padded, and a slab of logits is as wide as a narrow batch.
    fn activation_rows(&self) -> usize {
        padded_len(self.num_tokens.max(self.logit_rows()))
    }

    fn logit_rows(&self) -> usize {
        self.num_rows.max(gemm::MAX_ROWS)
    }
}

/// Numbers in a row of each activation.
#[derive(Clone, Copy)]
struct Widths {
    hidden: usize,
    qkv: usize,
    attended: usize,
    ffn: usize,
    vocab: usize,
}

impl Widths {
    fn of(config: &ModelConfig) -> Self {
        Self {
            hidden: config.hidden_len,
            qkv: config.qkv_len(),
            attended: config.num_heads * config.head_len,
            ffn: config.ffn_len,
            vocab: config.vocab_len,
        }
    }
}

/// The buffers.
pub(super) struct Scratch {
    widths: Widths,
    residual: Buffer<f32>,
    x: Buffer<bf16>,
    sums: Buffer<f32>,
    qkv: Buffer<bf16>,
    attended: Buffer<bf16>,
    gate_up: Buffer<bf16>,
    gated: Buffer<bf16>,
    logits: Buffer<f32>,
    pooled: Buffer<f32>,
}

/// Some of their rows.
#[derive(Clone, Copy)]
pub(super) struct Activations<'a> {
    /// What flows from layer to layer: `[rows][hidden]`.
    pub(super) residual: View<'a, f32>,
    /// The same, as the next product reads it.
    pub(super) x: View<'a, bf16>,
    /// `[rows][qkv]`
    pub(super) qkv: View<'a, bf16>,
    /// `[rows][heads * head length]`
    pub(super) attended: View<'a, bf16>,
    /// `[rows][2 * ffn]`
    pub(super) gate_up: View<'a, bf16>,
    /// `[rows][ffn]`
    pub(super) gated: View<'a, bf16>,
}

impl Scratch {
    pub(super) fn new(
        device: &Device,
        config: &ModelConfig,
        capacity: Capacity,
    ) -> Result<Self, CudaError> {
        let (widths, rows) = (Widths::of(config), capacity.activation_rows());
        let activations = |width: usize| device.zeros("activations", rows * width);
        Ok(Self {
            widths,
            residual: device.zeros("activations", rows * widths.hidden)?,
            x: activations(widths.hidden)?,
            sums: device.zeros(
                "sums of squares",
                gemm::MAX_ROWS * widths.hidden / gemm::COLUMNS_PER_SUM,
            )?,
            qkv: activations(widths.qkv)?,
            attended: activations(widths.attended)?,
            gate_up: activations(2 * widths.ffn)?,
            gated: activations(widths.ffn)?,
            logits: device.zeros("logits", capacity.logit_rows() * widths.vocab)?,
            pooled: device.zeros("sums of hidden states", capacity.num_rows * widths.hidden)?,
        })
    }

    /// Bytes that [`Scratch::new`] takes.
    pub(super) fn byte_len(config: &ModelConfig, capacity: Capacity) -> u64 {
        let (widths, rows) = (Widths::of(config), capacity.activation_rows());
        let halves = rows * (widths.hidden + widths.qkv + widths.attended + 3 * widths.ffn);
        let sums = gemm::MAX_ROWS * widths.hidden / gemm::COLUMNS_PER_SUM;
        let floats = (rows + capacity.num_rows) * widths.hidden
            + sums
            + capacity.logit_rows() * widths.vocab;
        (2 * halves + 4 * floats) as u64
    }

    /// The first `rows` rows of the activations.
    pub(super) fn rows(&self, rows: usize) -> Activations<'_> {
        let Widths {
            hidden,
            qkv,
            attended,
            ffn,
            ..
        } = self.widths;
        Activations {
            residual: self.residual.view().slice(0, rows * hidden),
            x: self.x.view().slice(0, rows * hidden),
            qkv: self.qkv.view().slice(0, rows * qkv),
            attended: self.attended.view().slice(0, rows * attended),
            gate_up: self.gate_up.view().slice(0, rows * 2 * ffn),
            gated: self.gated.view().slice(0, rows * ffn),
        }
    }

    /// All rows of the residual stream.
    pub(super) fn residual(&self) -> View<'_, f32> {
        self.residual.view()
    }

    /// Sums of squares of 16 columns each, of a narrow batch.
    pub(super) fn sums(&self, rows: usize) -> View<'_, f32> {
        self.sums
            .view()
            .slice(0, rows * self.widths.hidden / gemm::COLUMNS_PER_SUM)
    }

    /// `[rows][hidden]`: sums of hidden states.
    pub(super) fn pooled(&self, rows: usize) -> View<'_, f32> {
        self.pooled.view().slice(0, rows * self.widths.hidden)
    }

    /// `[rows][vocab]`
    pub(super) fn logits(&self, rows: usize) -> View<'_, f32> {
        self.logits.view().slice(0, rows * self.widths.vocab)
    }
}
