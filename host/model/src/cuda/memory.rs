//! What goes where in the card's memory, decided before anything is allocated.

use std::fmt;

use kernels::cuda::{PAGE_LEN, sampling::Sampler};

use super::{forward::scratch_bytes, runner::sampler_rows, scratch::Capacity, weights::Layout};
use crate::{config::ModelConfig, error::LoadError};

/// Left alone: the driver's own, the libraries' code, graphs.
const RESERVE: u64 = 768 << 20;

/// How much of the card this process takes, and for what. Bytes.
#[derive(Clone, Copy, Debug)]
pub struct MemoryPlan {
    /// The card's.
    pub total: u64,
    /// Of it free when this process began.
    pub free: u64,
    /// The share of the card that may be in use, this process and others together.
    pub utilization: f64,
    /// Weights.
    pub weights: u64,
    /// Activations, tables and the sampler.
    pub scratch: u64,
    /// Driver, libraries and graphs.
    pub reserve: u64,
    /// Keys and values.
    pub cache: u64,
    /// Weights that a decode step reads.
    pub step_weights: u64,
    /// Keys and values of a token.
    pub token_bytes: u64,
    /// Blocks of 32 tokens in it.
    pub num_blocks: usize,
}

impl MemoryPlan {
    /// Divides the card's memory. `asked_blocks`: a number of blocks instead of all that fit.
    pub(super) fn new(
        config: &ModelConfig,
        layout: &Layout,
        (free, total): (u64, u64),
        utilization: f64,
        capacity: Capacity,
        max_num_seqs: usize,
        asked_blocks: Option<usize>,
    ) -> Result<Self, LoadError> {
        let sampler =
            Sampler::byte_len(sampler_rows(max_num_seqs), config.vocab_len, max_num_seqs) as u64;
        let scratch = scratch_bytes(config, capacity) + sampler;
        let block_bytes = block_bytes(config);
        let mut plan = Self {
            total,
            free,
            utilization,
            weights: layout.byte_len(),
            step_weights: layout.step_byte_len(),
            token_bytes: block_bytes / PAGE_LEN as u64,
            scratch,
            reserve: RESERVE,
            cache: 0,
            num_blocks: 0,
        };
        let possible = usize::try_from(plan.room() / block_bytes)
            .unwrap_or(usize::MAX)
            .min(i32::MAX as usize / PAGE_LEN);
        plan.num_blocks = asked_blocks.map_or(possible, |asked| asked.min(possible));
        plan.cache = plan.num_blocks as u64 * block_bytes;
        match plan.num_blocks {
            0 => Err(LoadError::Option(format!(
                "the model does not fit on the GPU: {plan}; a smaller model, a lower --max-num-seqs or --max-num-batched-tokens, or --device cpu would help"
            ))),
            _ => Ok(plan),
        }
    }

    /// What is left for keys and values.
    fn room(&self) -> u64 {
        let allowed = (self.total as f64 * self.utilization) as u64;
        let used = self.total.saturating_sub(self.free);
        allowed.saturating_sub(used + self.weights + self.scratch + self.reserve)
    }
}

/// Bytes of a block's keys and values in all layers.
pub(super) fn block_bytes(config: &ModelConfig) -> u64 {
    (config.num_layers * 2 * config.num_kv_heads * PAGE_LEN * config.head_len * 2) as u64
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
        write!(
            f,
            "of {:.2} GiB, {:.2} may be used and {:.2} are in use already; weights {:.2}, activations and sampler {:.2}, driver and \
             libraries {:.2}, which leaves {:.2} GiB for keys and values",
            gib(self.total),
            gib((self.total as f64 * self.utilization) as u64),
            gib(self.total - self.free),
            gib(self.weights),
            gib(self.scratch),
            gib(self.reserve),
            gib(self.room()),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn qwen3_4b() -> ModelConfig {
        let text = r#"{"model_type": "qwen3", "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
            "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
            "max_position_embeddings": 40960, "rms_norm_eps": 1e-6, "rope_theta": 1000000, "tie_word_embeddings": true}"#;
        ModelConfig::from_json(Path::new("config.json"), text).unwrap()
    }

    fn plan(total: u64, asked_blocks: Option<usize>) -> Result<MemoryPlan, LoadError> {
        let config = qwen3_4b();
        let capacity = Capacity {
            num_tokens: 2048,
            num_rows: 64,
            num_positions: 40_960,
        };
        MemoryPlan::new(
            &config,
            &Layout::new(&config),
            (total, total),
            0.9,
            capacity,
            64,
            asked_blocks,
        )
    }

    #[test]
    fn a_24_gb_card_holds_the_4b_model_and_tens_of_thousands_of_tokens() {
        let plan = plan(24 << 30, None).unwrap();
        // 4.02 billion weights of two bytes.
        assert_eq!(plan.weights / 1_000_000, 8_044);
        assert_eq!(block_bytes(&qwen3_4b()), 32 * 147_456);
        let tokens = plan.num_blocks * PAGE_LEN;
        assert!(
            (90_000..100_000).contains(&tokens),
            "{tokens} tokens: {plan}"
        );
        assert!(plan.weights + plan.scratch + plan.reserve + plan.cache <= (24u64 << 30) * 9 / 10);
    }

    #[test]
    fn a_model_that_does_not_fit_is_refused_with_the_arithmetic() {
        let error = plan(8 << 30, None).unwrap_err().to_string();
        assert!(
            error.contains("of 8.00 GiB, 7.20 may be used") && error.contains("weights 7.49"),
            "{error}"
        );
    }

    #[test]
    fn a_number_of_blocks_that_was_asked_for_is_not_exceeded() {
        assert_eq!(plan(80 << 30, Some(100)).unwrap().num_blocks, 100);
    }
}
