//! The forward pass: tokens in, hidden states and logits out, keys and values in the paged cache.

use std::ops::Range;

use kernels::{Cpu, HeadColumns, KvCache, RopeTable, Span, Write};
use kernels::{attention, embedding, linear, rms_norm, rms_norm_heads, rope, silu_mul};

use crate::config::ModelConfig;
use crate::weights::{Projection, Weights};

/// One step's tokens, of several sequences one after the other.
pub(crate) struct Batch<'a> {
    pub(crate) tokens: Vec<u32>,
    /// The sequences' parts, in order, which together are all tokens.
    pub(crate) spans: Vec<Span<'a>>,
}

/// A dense decoder with its cache. Rows of activations are `m` tokens by so many numbers, row-major.
pub(crate) struct Decoder {
    config: ModelConfig,
    weights: Weights,
    /// One for each layer.
    caches: Vec<KvCache>,
    cpu: Cpu,
    rows: Rows,
}

/// The activations of a step, kept for the next one.
#[derive(Default)]
struct Rows {
    /// What flows from layer to layer.
    hidden: Vec<f32>,
    /// The same, normalised.
    normed: Vec<f32>,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    gate_up: Vec<f32>,
    gated: Vec<f32>,
}

impl Decoder {
    pub(crate) fn new(config: ModelConfig, weights: Weights, num_blocks: usize, cpu: Cpu) -> Self {
        let cache = |_| KvCache::new(num_blocks, config.num_kv_heads, config.head_len);
        let caches = (0..config.num_layers).map(cache).collect();
        Self {
            config,
            weights,
            caches,
            cpu,
            rows: Rows::default(),
        }
    }

    pub(crate) fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// Computes the batch; [`hidden`](Self::hidden) and [`logits`](Self::logits) tell what came of it.
    ///
    /// Tokens must be in the vocabulary and blocks in the cache.
    pub(crate) fn forward(&mut self, batch: &Batch<'_>) {
        let Self {
            config,
            weights,
            caches,
            cpu,
            rows,
        } = self;
        let eps = config.rms_eps;
        let [q, k, v] = qkv_columns(config);
        let heads = |columns: &Range<usize>| HeadColumns {
            row_len: v.end,
            first: columns.start,
            num_heads: columns.len() / config.head_len,
            head_len: config.head_len,
        };
        let positions = batch
            .spans
            .iter()
            .flat_map(|span| span.start..span.start + span.len);
        let rope_table = RopeTable::new(&config.rope_frequencies, positions);
        rows.fit(batch.tokens.len(), config);
        let Rows {
            hidden,
            normed,
            qkv,
            attended,
            gate_up,
            gated,
        } = rows;

        embedding(cpu, &weights.embedding, &batch.tokens, hidden);
        for (layer, cache) in weights.layers.iter().zip(caches) {
            rms_norm(cpu, hidden, &layer.attention_norm, eps, normed);
            project(cpu, &layer.qkv, normed, qkv, Write::Set);
            if let Some([q_norm, k_norm]) = &layer.qk_norms {
                rms_norm_heads(cpu, qkv, heads(&q), q_norm, eps);
                rms_norm_heads(cpu, qkv, heads(&k), k_norm, eps);
            }
            rope(
                cpu,
                &rope_table,
                config.pairing,
                qkv,
                heads(&(q.start..k.end)),
            );
            store(cache, &batch.spans, qkv, v.end, &k, &v);
            attention(cpu, cache, &batch.spans, heads(&q), qkv, attended);
            project(cpu, &layer.output, attended, hidden, Write::Add);

            rms_norm(cpu, hidden, &layer.ffn_norm, eps, normed);
            project(cpu, &layer.gate_up, normed, gate_up, Write::Set);
            silu_mul(cpu, gate_up, config.ffn_len, gated);
            project(cpu, &layer.down, gated, hidden, Write::Add);
        }
    }

    /// The hidden states of these tokens of the last batch (indices into it) after the last norm, row after row.
    pub(crate) fn hidden(&self, tokens: &[usize]) -> Vec<f32> {
        let (config, hidden) = (&self.config, &self.rows.hidden);
        let rows = tokens
            .iter()
            .map(|token| &hidden[token * config.hidden_len..][..config.hidden_len]);
        let last: Vec<f32> = rows.flatten().copied().collect();
        let mut normed = vec![0.0; last.len()];
        let final_norm = &self.weights.final_norm;
        rms_norm(&self.cpu, &last, final_norm, config.rms_eps, &mut normed);
        normed
    }

    /// The logits after these tokens of the last batch, row after row.
    pub(crate) fn logits(&self, tokens: &[usize]) -> Vec<f32> {
        let hidden = self.hidden(tokens);
        let mut logits = vec![0.0; tokens.len() * self.config.vocab_len];
        let head = self.weights.head();
        linear(&self.cpu, head, None, &hidden, &mut logits, Write::Set);
        logits
    }
}

/// The columns of queries, keys and values in a row of all three.
fn qkv_columns(config: &ModelConfig) -> [Range<usize>; 3] {
    let (q_len, kv_len) = (
        config.num_heads * config.head_len,
        config.num_kv_heads * config.head_len,
    );
    [
        0..q_len,
        q_len..q_len + kv_len,
        q_len + kv_len..q_len + 2 * kv_len,
    ]
}

fn project(cpu: &Cpu, projection: &Projection, x: &[f32], y: &mut [f32], write: Write) {
    linear(
        cpu,
        &projection.weight,
        projection.bias.as_deref(),
        x,
        y,
        write,
    );
}

/// Puts the keys and values of all rows into their blocks.
fn store(
    cache: &mut KvCache,
    spans: &[Span<'_>],
    qkv: &[f32],
    row_len: usize,
    k: &Range<usize>,
    v: &Range<usize>,
) {
    for span in spans {
        let rows = qkv[span.first_row * row_len..].chunks_exact(row_len);
        for (position, row) in (span.start..span.start + span.len).zip(rows) {
            let (block, slot) = (position / kernels::BLOCK_LEN, position % kernels::BLOCK_LEN);
            cache.write(span.blocks[block], slot, &row[k.clone()], &row[v.clone()]);
        }
    }
}

impl Rows {
    fn fit(&mut self, num_tokens: usize, config: &ModelConfig) {
        let fit = |rows: &mut Vec<f32>, row_len: usize| rows.resize(num_tokens * row_len, 0.0);
        fit(&mut self.hidden, config.hidden_len);
        fit(&mut self.normed, config.hidden_len);
        fit(&mut self.qkv, config.qkv_len());
        fit(&mut self.attended, config.num_heads * config.head_len);
        fit(&mut self.gate_up, 2 * config.ffn_len);
        fit(&mut self.gated, config.ffn_len);
    }
}
