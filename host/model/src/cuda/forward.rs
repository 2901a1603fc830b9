//! The forward pass: tokens in, logits out, keys and values in the paged cache.
//!
//! Two ways through a layer. Narrow batches (up to 64 rows) take five kernels a layer: the norms are folded into the products
//! before and after them. Wide ones and prompts take cuBLASLt's products and a kernel for each op between.

use half::bf16;
use kernels::cuda::{
    Buffer, CudaError, Device, QkNorms, View,
    cublas_lt::{LtMatmul, Output, Rows},
    decode_attention::{DecodeAttention, DecodeBatch},
    elementwise::{
        NormInput, TokenPlaces, TokenSource, embed, qk_norm_rope, rms_norm, rope_table, silu_mul,
        sum_rows,
    },
    gemm::{self, Epilogue, RowScale, SkinnyGemm},
    prefill_attention::{Sequences, prefill_attention},
};

use super::{
    scratch::{Activations, Capacity, Scratch, padded_len},
    weights::{DeviceWeights, LayerPlaces, Place},
};
use crate::config::ModelConfig;

/// The most rows that the narrow way takes.
pub(super) const NARROW_ROWS: usize = gemm::MAX_ROWS;

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

/// The rows of a decode batch: one token each.
pub(super) struct DecodeRows<'a> {
    pub(super) len: View<'a, i32>,
    pub(super) page_start: View<'a, i32>,
    pub(super) pages: View<'a, i32>,
    pub(super) num_chunks: usize,
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

/// Bytes that a device needs besides weights and cache.
pub(super) fn scratch_bytes(config: &ModelConfig, capacity: Capacity) -> u64 {
    let rope = capacity.num_positions * config.head_len * size_of::<f32>();
    let (heads, kv_heads) = (config.num_heads, config.num_kv_heads);
    let attention = DecodeAttention::byte_len(capacity.num_rows, heads, kv_heads, config.head_len);
    let products = SkinnyGemm::byte_len(&product_shapes(config)) + LtMatmul::byte_len();
    Scratch::byte_len(config, capacity) + (rope + attention + products) as u64
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

impl Forward {
    pub(super) fn new(
        device: &Device,
        weights: DeviceWeights,
        cache: Buffer<bf16>,
        capacity: Capacity,
    ) -> Result<Self, CudaError> {
        let config = &weights.config;
        let frequencies = device.upload("rope frequencies", &config.rope_frequencies)?;
        let rope_len = capacity.num_positions * config.head_len;
        let rope = device.zeros("cosines and sines", rope_len)?;
        rope_table(device, frequencies.view(), rope.view())?;
        device.synchronize()?;
        let (heads, kv_heads) = (config.num_heads, config.num_kv_heads);
        Ok(Self {
            cache,
            rope,
            scratch: Scratch::new(device, config, capacity)?,
            gemm: SkinnyGemm::new(device, &product_shapes(config))?,
            matmul: LtMatmul::new(device)?,
            decode_attention: DecodeAttention::new(
                device,
                capacity.num_rows,
                heads,
                kv_heads,
                config.head_len,
            )?,
            weights,
        })
    }

    /// The logits of rows `0..num_rows` of the last pass: `[num_rows][vocab]`.
    pub(super) fn logits(&self, num_rows: usize) -> View<'_, f32> {
        self.scratch.logits(num_rows)
    }

    /// Computes one token of each row, and leaves the logits after it.
    pub(super) fn decode(
        &self,
        device: &Device,
        tokens: TokenSource<'_>,
        rows: &DecodeRows<'_>,
    ) -> Result<(), CudaError> {
        let batch = DecodeBatch {
            len: rows.len,
            page_start: rows.page_start,
            pages: rows.pages,
            rope: self.rope.view(),
            num_rows: tokens.ids.len(),
            num_chunks: rows.num_chunks,
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
        let (weights, layout) = (&self.weights, &self.weights.layout);
        let (m, eps) = (batch.num_rows, weights.config.rms_eps);
        let Activations {
            residual,
            x,
            qkv,
            attended,
            gated,
            ..
        } = self.scratch.rows(m);
        let sums = self.scratch.sums(m);
        let scale = Some(RowScale { sums, eps });
        let product = |weight: Place, x, scale, epilogue| {
            self.gemm
                .launch(device, &weights.matrix(weight), x, m, scale, epilogue)
        };
        // Adds to the residual stream and prepares the norm that follows.
        let add = |norm| Epilogue::Residual {
            residual,
            norm_weight: weights.vector(norm),
            out: x,
            sums_out: sums,
        };

        let first_norm = weights.vector(layout.layers[0].attention_norm);
        self.embed(
            device,
            tokens,
            Some(NormInput {
                weight: first_norm,
                out: x,
                sums,
            }),
        )?;
        for (index, layer) in layout.layers.iter().enumerate() {
            let next_norm = layout.layers.get(index + 1).map(|next| next.attention_norm);
            product(layer.qkv, x, scale, Epilogue::Store { out: qkv })?;
            self.attend_decode(device, index, qkv, batch, attended)?;
            product(layer.output, attended, None, add(layer.ffn_norm))?;
            product(layer.gate_up, x, scale, Epilogue::SiluMul { out: gated })?;
            product(
                layer.down,
                gated,
                None,
                add(next_norm.unwrap_or(layout.final_norm)),
            )?;
        }
        product(
            layout.head,
            x,
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
        self.embed(device, tokens, None)?;
        self.wide_layers(
            device,
            batch.num_rows,
            Rows::Batch,
            |index, qkv, attended| self.attend_decode(device, index, qkv, batch, attended),
        )?;
        self.head(device, None, batch.num_rows)
    }

    /// Computes all tokens of the batch. The logits are [`Self::extend_logits`]'s.
    pub(super) fn extend(&self, device: &Device, batch: &ExtendBatch<'_>) -> Result<(), CudaError> {
        let heads = self.weights.heads();
        let (rope, places) = (self.rope.view(), batch.places);
        self.embed(device, batch.tokens, None)?;
        // Padding is multiplied with the rest; nobody reads what comes of it.
        let num_rows = padded_len(batch.num_tokens);
        self.wide_layers(device, num_rows, batch.rows, |index, qkv, attended| {
            let (cache, norms) = (self.layer_cache(index), self.qk_norms(index));
            qk_norm_rope(device, qkv, heads, norms, rope, places, cache)?;
            let queries = (qkv, heads.qkv_len());
            prefill_attention(device, heads, queries, cache, &batch.sequences, attended)
        })
    }

    /// The logits after these rows of the last extension, at most [`NARROW_ROWS`], so that they are multiplied as those of decode
    /// batches are.
    pub(super) fn extend_logits(
        &self,
        device: &Device,
        rows: View<'_, i32>,
    ) -> Result<(), CudaError> {
        self.head(device, Some(rows), rows.len())
    }

    /// Adds up hidden states of the last extension after the last norm. `rows` are the tokens, sum after sum, and `starts` and `lens`
    /// say which of `rows` each sum is of: `[sums][hidden]`.
    pub(super) fn extend_sums(
        &self,
        device: &Device,
        rows: View<'_, i32>,
        starts: View<'_, i32>,
        lens: View<'_, i32>,
    ) -> Result<View<'_, f32>, CudaError> {
        let (config, m) = (&self.weights.config, rows.len());
        let final_norm = self.weights.vector(self.weights.layout.final_norm);
        let (x, residual) = (self.scratch.rows(m).x, self.scratch.residual());
        rms_norm(
            device,
            residual,
            Some(rows),
            m,
            final_norm,
            config.rms_eps,
            x,
        )?;
        let sums = self.scratch.pooled(starts.len());
        sum_rows(device, x, starts, lens, config.hidden_len, sums)?;
        Ok(sums)
    }

    /// The tokens' rows of the embedding into the residual stream.
    fn embed(
        &self,
        device: &Device,
        tokens: TokenSource<'_>,
        next: Option<NormInput<'_>>,
    ) -> Result<(), CudaError> {
        let table = self.weights.matrix(self.weights.layout.embedding);
        embed(
            device,
            table.view,
            tokens,
            table.num_cols,
            self.scratch.residual(),
            next,
        )
    }

    /// All layers over the first `m` rows of the residual stream. `attend` gets a layer's number, queries, keys and values, and where
    /// its result goes.
    fn wide_layers(
        &self,
        device: &Device,
        m: usize,
        rows: Rows,
        attend: impl Fn(usize, View<'_, bf16>, View<'_, bf16>) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        let (weights, eps) = (&self.weights, self.weights.config.rms_eps);
        let Activations {
            residual,
            x,
            qkv,
            attended,
            gate_up,
            gated,
        } = self.scratch.rows(m);
        let norm =
            |weight: Place| rms_norm(device, residual, None, m, weights.vector(weight), eps, x);
        let product = |weight: Place, x, output| {
            self.matmul
                .launch(device, &weights.matrix(weight), x, m, rows, output)
        };
        for (index, layer) in weights.layout.layers.iter().enumerate() {
            norm(layer.attention_norm)?;
            product(layer.qkv, x, Output::Store(qkv))?;
            attend(index, qkv, attended)?;
            product(layer.output, attended, Output::Add(residual))?;
            norm(layer.ffn_norm)?;
            product(layer.gate_up, x, Output::Store(gate_up))?;
            silu_mul(device, gate_up, m, weights.config.ffn_len, gated)?;
            product(layer.down, gated, Output::Add(residual))?;
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
        let (weights, layout) = (&self.weights, &self.weights.layout);
        let (head, final_norm) = (
            weights.matrix(layout.head),
            weights.vector(layout.final_norm),
        );
        let (x, logits) = (self.scratch.rows(m).x, self.logits(m));
        let residual = self.scratch.residual();
        rms_norm(
            device,
            residual,
            rows,
            m,
            final_norm,
            weights.config.rms_eps,
            x,
        )?;
        match m {
            0..=NARROW_ROWS => {
                let epilogue = Epilogue::Logits { out: logits };
                self.gemm.launch(device, &head, x, m, None, epilogue)
            }
            _ => {
                let output = Output::Logits(logits);
                self.matmul.launch(device, &head, x, m, Rows::Batch, output)
            }
        }
    }

    fn attend_decode(
        &self,
        device: &Device,
        index: usize,
        qkv: View<'_, bf16>,
        batch: &DecodeBatch<'_>,
        attended: View<'_, bf16>,
    ) -> Result<(), CudaError> {
        let (cache, norms) = (self.layer_cache(index), self.qk_norms(index));
        self.decode_attention
            .launch(device, qkv, cache, norms, batch, attended)
    }

    fn layer_cache(&self, index: usize) -> View<'_, bf16> {
        let len = self.cache.len() / self.weights.config.num_layers;
        self.cache.view().slice(index * len, len)
    }

    fn qk_norms(&self, index: usize) -> Option<QkNorms<'_>> {
        let LayerPlaces { qk_norms, .. } = self.weights.layout.layers[index];
        qk_norms.map(|[q, k]| QkNorms {
            q: self.weights.vector(q),
            k: self.weights.vector(k),
            eps: self.weights.config.rms_eps,
        })
    }
}
