//! The forward pass: tokens in, logits out, keys and values in the paged cache.
//!
//! Two ways through a layer. Narrow batches (up to 64 rows) take five kernels a layer: the norms are folded into the products
//! before and after them. Wide ones and prompts take cuBLASLt's products and a kernel for each op between.

use half::bf16;
use kernels::cuda::{
    Buffer, CudaError, Device, View,
    cublas_lt::{LtMatmul, Output, Rows},
    decode_attention::{DecodeAttention, DecodeBatch, QkNorm},
    elementwise::{
        NormInput, QkNorms, SUM_COLS, TokenPlaces, TokenSource, embed, qk_norm_rope, rms_norm,
        rope_table, silu_mul,
    },
    gemm::{self, Epilogue, RowScale, SkinnyGemm},
    prefill_attention::{self, Sequences, prefill_attention},
};

use super::weights::{DeviceWeights, LayerPlaces};
use crate::config::ModelConfig;

/// The most rows that the narrow way takes.
pub(super) const NARROW_ROWS: usize = gemm::MAX_ROWS;

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

/// Everything that a step needs on the device, allocated once.
pub(super) struct Forward {
    pub(super) weights: DeviceWeights,
    cache: Buffer<bf16>,
    /// `[position][head_len / 2][cos, sin]`
    rope: Buffer<f32>,
    scratch: Scratch,
    pub(super) gemm: SkinnyGemm,
    matmul: LtMatmul,
    decode_attention: DecodeAttention,
}

/// The activations of a pass.
struct Scratch {
    /// What flows from layer to layer: `[tokens][hidden]`.
    residual: Buffer<f32>,
    /// The same, as the next product reads it.
    x: Buffer<bf16>,
    /// Sums of squares of 16 columns, of narrow batches.
    sums: Buffer<f32>,
    qkv: Buffer<bf16>,
    attended: Buffer<bf16>,
    gate_up: Buffer<bf16>,
    gated: Buffer<bf16>,
    /// `[rows][vocab]`
    logits: Buffer<f32>,
}

/// Lengths of the scratch buffers, for allocating them and for planning.
struct ScratchLens {
    residual: usize,
    x: usize,
    sums: usize,
    qkv: usize,
    attended: usize,
    gate_up: usize,
    gated: usize,
    logits: usize,
}

impl ScratchLens {
    fn new(config: &ModelConfig, capacity: Capacity) -> Self {
        // Prompts are padded to a multiple of this.
        let rows = capacity.num_rows.max(NARROW_ROWS);
        let tokens = padded_len(capacity.num_tokens.max(rows));
        Self {
            residual: tokens * config.hidden_len,
            x: tokens * config.hidden_len,
            sums: NARROW_ROWS * config.hidden_len / SUM_COLS,
            qkv: tokens * config.qkv_len(),
            attended: tokens * config.num_heads * config.head_len,
            gate_up: tokens * 2 * config.ffn_len,
            gated: tokens * config.ffn_len,
            logits: rows * config.vocab_len,
        }
    }

    fn byte_len(&self) -> u64 {
        let floats = self.residual + self.sums + self.logits;
        let halves = self.x + self.qkv + self.attended + self.gate_up + self.gated;
        (4 * floats + 2 * halves) as u64
    }
}

/// cuBLASLt has a plan for each number of rows, so there should not be too many.
pub(super) fn padded_len(num_tokens: usize) -> usize {
    match num_tokens {
        0..=128 => num_tokens.next_multiple_of(16),
        _ => num_tokens.next_multiple_of(64),
    }
}

/// Bytes of activations and tables: what a device needs besides weights and cache.
pub(super) fn scratch_bytes(config: &ModelConfig, capacity: Capacity) -> u64 {
    let rope = (capacity.num_positions * config.head_len * size_of::<f32>()) as u64;
    let attention = DecodeAttention::byte_len(
        capacity.num_rows,
        config.num_heads,
        config.num_kv_heads,
        config.head_len,
    );
    ScratchLens::new(config, capacity).byte_len() + rope + (attention + LtMatmul::byte_len()) as u64
}

/// Outputs and inputs of the matrices.
pub(super) fn product_shapes(config: &ModelConfig) -> [(usize, usize); 5] {
    [
        (config.qkv_len(), config.hidden_len),
        (config.hidden_len, config.num_heads * config.head_len),
        (2 * config.ffn_len, config.hidden_len),
        (config.hidden_len, config.ffn_len),
        (config.vocab_len, config.hidden_len),
    ]
}

/// Prompts, their chunks and guesses: the rows of several sequences one after the other.
pub(super) struct ExtendBatch<'a> {
    pub(super) num_tokens: usize,
    /// Which algorithm multiplies.
    pub(super) rows: Rows,
    pub(super) tokens: TokenSource<'a>,
    pub(super) places: TokenPlaces<'a>,
    pub(super) sequences: Sequences<'a>,
}

impl Forward {
    pub(super) fn new(
        device: &Device,
        weights: DeviceWeights,
        cache: Buffer<bf16>,
        capacity: Capacity,
    ) -> Result<Self, CudaError> {
        let config = &weights.config;
        let lens = ScratchLens::new(config, capacity);
        let scratch = Scratch {
            residual: device.zeros("activations", lens.residual)?,
            x: device.zeros("activations", lens.x)?,
            sums: device.zeros("activations", lens.sums)?,
            qkv: device.zeros("activations", lens.qkv)?,
            attended: device.zeros("activations", lens.attended)?,
            gate_up: device.zeros("activations", lens.gate_up)?,
            gated: device.zeros("activations", lens.gated)?,
            logits: device.zeros("logits", lens.logits)?,
        };
        let frequencies = device.upload("rope frequencies", &config.rope_frequencies)?;
        let rope = device.zeros(
            "cosines and sines",
            capacity.num_positions * config.head_len,
        )?;
        rope_table(device, frequencies.view(), rope.view())?;
        device.synchronize()?;
        let gemm = SkinnyGemm::new(device, &product_shapes(config))?;
        let decode_attention = DecodeAttention::new(
            device,
            capacity.num_rows,
            config.num_heads,
            config.num_kv_heads,
            config.head_len,
        )?;
        Ok(Self {
            cache,
            rope,
            scratch,
            gemm,
            matmul: LtMatmul::new(device)?,
            decode_attention,
            weights,
        })
    }

    /// The logits of rows `0..num_rows` of the last pass: `[num_rows][vocab]`.
    pub(super) fn logits(&self, num_rows: usize) -> View<'_, f32> {
        self.scratch
            .logits
            .view()
            .slice(0, num_rows * self.weights.config.vocab_len)
    }

    /// Computes one token of each row, and leaves the logits after it.
    pub(super) fn decode(
        &self,
        device: &Device,
        tokens: TokenSource<'_>,
        batch: &DecodeRows<'_>,
    ) -> Result<(), CudaError> {
        let batch = DecodeBatch {
            len: batch.len,
            page_start: batch.page_start,
            pages: batch.pages,
            rope: self.rope.view(),
            num_rows: tokens.ids.len(),
            num_chunks: batch.num_chunks,
        };
        match batch.num_rows {
            0..=NARROW_ROWS => self.decode_narrow(device, tokens, &batch),
            _ => self.decode_wide(device, tokens, &batch),
        }
    }

    fn decode_narrow(
        &self,
        device: &Device,
        tokens: TokenSource<'_>,
        batch: &DecodeBatch<'_>,
    ) -> Result<(), CudaError> {
        let Self {
            weights,
            scratch: s,
            gemm,
            ..
        } = self;
        let (config, layout) = (&weights.config, &weights.layout);
        let (m, eps, hidden) = (batch.num_rows, config.rms_eps, config.hidden_len);
        let (residual, x, sums) = (
            s.residual.view().slice(0, m * hidden),
            s.x.view().slice(0, m * hidden),
            s.sums.view().slice(0, m * hidden / SUM_COLS),
        );
        let (qkv, attended) = (
            s.qkv.view().slice(0, m * config.qkv_len()),
            s.attended
                .view()
                .slice(0, m * config.num_heads * config.head_len),
        );
        let gated = s.gated.view().slice(0, m * config.ffn_len);
        let scale = Some(RowScale { sums, eps });
        let add = |norm| Epilogue::Residual {
            residual,
            norm_weight: weights.vector(norm),
            out: x,
            sums_out: sums,
        };

        let first = NormInput {
            weight: weights.vector(layout.layers[0].attention_norm),
            out: x,
            sums,
        };
        embed(
            device,
            weights.matrix(layout.embedding).view,
            tokens,
            hidden,
            residual,
            Some(first),
        )?;
        for (index, layer) in layout.layers.iter().enumerate() {
            gemm.launch(
                device,
                &weights.matrix(layer.qkv),
                x,
                m,
                scale,
                Epilogue::Store { out: qkv },
            )?;
            self.decode_attention.launch(
                device,
                qkv,
                self.layer_cache(index),
                self.qk_norm(layer),
                batch,
                attended,
            )?;
            gemm.launch(
                device,
                &weights.matrix(layer.output),
                attended,
                m,
                None,
                add(layer.ffn_norm),
            )?;
            gemm.launch(
                device,
                &weights.matrix(layer.gate_up),
                x,
                m,
                scale,
                Epilogue::SiluMul { out: gated },
            )?;
            let next_norm = layout
                .layers
                .get(index + 1)
                .map_or(layout.final_norm, |next| next.attention_norm);
            gemm.launch(
                device,
                &weights.matrix(layer.down),
                gated,
                m,
                None,
                add(next_norm),
            )?;
        }
        gemm.launch(
            device,
            &weights.matrix(layout.head),
            x,
            m,
            scale,
            Epilogue::Logits {
                out: self.logits(m),
            },
        )
    }

    fn decode_wide(
        &self,
        device: &Device,
        tokens: TokenSource<'_>,
        batch: &DecodeBatch<'_>,
    ) -> Result<(), CudaError> {
        let m = batch.num_rows;
        embed(
            device,
            self.weights.matrix(self.weights.layout.embedding).view,
            tokens,
            self.weights.config.hidden_len,
            self.scratch.residual.view(),
            None,
        )?;
        let attend =
            |index: usize, layer: &LayerPlaces, qkv: View<'_, bf16>, attended: View<'_, bf16>| {
                self.decode_attention.launch(
                    device,
                    qkv,
                    self.layer_cache(index),
                    self.qk_norm(layer),
                    batch,
                    attended,
                )
            };
        self.wide_layers(device, m, Rows::Batch, attend)?;
        self.head(device, None, m)
    }

    /// Computes all tokens of the batch. The logits are [`Self::extend_logits`]'s.
    pub(super) fn extend(&self, device: &Device, batch: &ExtendBatch<'_>) -> Result<(), CudaError> {
        let Self { weights, .. } = self;
        let (config, t) = (&weights.config, batch.num_tokens);
        embed(
            device,
            weights.matrix(weights.layout.embedding).view,
            batch.tokens,
            config.hidden_len,
            self.scratch.residual.view(),
            None,
        )?;
        let attend =
            |index: usize, layer: &LayerPlaces, qkv: View<'_, bf16>, attended: View<'_, bf16>| {
                let norms = layer.qk_norms.map(|[q, k]| QkNorms {
                    q: weights.vector(q),
                    k: weights.vector(k),
                    eps: config.rms_eps,
                });
                let cache = self.layer_cache(index);
                qk_norm_rope(
                    device,
                    qkv,
                    weights.heads(),
                    norms,
                    self.rope.view(),
                    batch.places,
                    cache,
                )?;
                let heads = prefill_attention::Heads {
                    num_heads: config.num_heads,
                    num_kv_heads: config.num_kv_heads,
                    head_len: config.head_len,
                };
                prefill_attention(
                    device,
                    heads,
                    (qkv, config.qkv_len()),
                    cache,
                    &batch.sequences,
                    attended,
                )
            };
        self.wide_layers(device, padded_len(t), batch.rows, attend)
    }

    /// The logits of these rows of the last extension, at most [`NARROW_ROWS`], so that they are multiplied as those of decode batches.
    pub(super) fn extend_logits(
        &self,
        device: &Device,
        rows: View<'_, i32>,
    ) -> Result<(), CudaError> {
        self.head(device, Some(rows), rows.len())
    }

    /// All layers over the first `m` rows of the residual stream.
    fn wide_layers(
        &self,
        device: &Device,
        m: usize,
        rows: Rows,
        attend: impl Fn(usize, &LayerPlaces, View<'_, bf16>, View<'_, bf16>) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        let Self {
            weights,
            scratch: s,
            matmul,
            ..
        } = self;
        let (config, eps) = (&weights.config, weights.config.rms_eps);
        let (residual, x) = (
            s.residual.view().slice(0, m * config.hidden_len),
            s.x.view().slice(0, m * config.hidden_len),
        );
        let (qkv, attended) = (
            s.qkv.view().slice(0, m * config.qkv_len()),
            s.attended
                .view()
                .slice(0, m * config.num_heads * config.head_len),
        );
        let (gate_up, gated) = (
            s.gate_up.view().slice(0, m * 2 * config.ffn_len),
            s.gated.view().slice(0, m * config.ffn_len),
        );
        for (index, layer) in weights.layout.layers.iter().enumerate() {
            rms_norm(
                device,
                residual,
                None,
                m,
                weights.vector(layer.attention_norm),
                eps,
                x,
            )?;
            matmul.launch(
                device,
                &weights.matrix(layer.qkv),
                x,
                m,
                rows,
                Output::Store(qkv),
            )?;
            attend(index, layer, qkv, attended)?;
            matmul.launch(
                device,
                &weights.matrix(layer.output),
                attended,
                m,
                rows,
                Output::Add(residual),
            )?;
            rms_norm(
                device,
                residual,
                None,
                m,
                weights.vector(layer.ffn_norm),
                eps,
                x,
            )?;
            matmul.launch(
                device,
                &weights.matrix(layer.gate_up),
                x,
                m,
                rows,
                Output::Store(gate_up),
            )?;
            silu_mul(device, gate_up, m, config.ffn_len, gated)?;
            matmul.launch(
                device,
                &weights.matrix(layer.down),
                gated,
                m,
                rows,
                Output::Add(residual),
            )?;
        }
        Ok(())
    }

    /// The final norm and the head over some rows of the residual stream: `rows`, or the first `m`.
    fn head(
        &self,
        device: &Device,
        rows: Option<View<'_, i32>>,
        m: usize,
    ) -> Result<(), CudaError> {
        let Self {
            weights,
            scratch: s,
            ..
        } = self;
        let x = s.x.view().slice(0, m * weights.config.hidden_len);
        rms_norm(
            device,
            s.residual.view(),
            rows,
            m,
            weights.vector(weights.layout.final_norm),
            weights.config.rms_eps,
            x,
        )?;
        let head = weights.matrix(weights.layout.head);
        match m {
            0..=NARROW_ROWS => self.gemm.launch(
                device,
                &head,
                x,
                m,
                None,
                Epilogue::Logits {
                    out: self.logits(m),
                },
            ),
            _ => self.matmul.launch(
                device,
                &head,
                x,
                m,
                Rows::Batch,
                Output::Logits(self.logits(m)),
            ),
        }
    }

    fn layer_cache(&self, index: usize) -> View<'_, bf16> {
        let len = self.cache.len() / self.weights.config.num_layers;
        self.cache.view().slice(index * len, len)
    }

    fn qk_norm(&self, layer: &LayerPlaces) -> Option<QkNorm<'_>> {
        let eps = self.weights.config.rms_eps;
        layer.qk_norms.map(|[q, k]| QkNorm {
            q: self.weights.vector(q),
            k: self.weights.vector(k),
            eps,
        })
    }
}

/// The rows of a decode batch: one token each.
pub(super) struct DecodeRows<'a> {
    pub(super) len: View<'a, i32>,
    pub(super) page_start: View<'a, i32>,
    pub(super) pages: View<'a, i32>,
    pub(super) num_chunks: usize,
}
