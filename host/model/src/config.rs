//! The shape of a dense decoder: what Llama, Qwen2 and Qwen3 differ in, and nothing else.

mod gguf;
mod huggingface;
mod rope;

use std::path::Path;

use kernels::Pairing;

use crate::error::LoadError;

/// Families of the same decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// No bias, no norm of queries and keys.
    Llama,
    /// Bias on queries, keys and values.
    Qwen2,
    /// Queries and keys are normalised head by head.
    Qwen3,
}

impl Architecture {
    /// Its name in `config.json` (`model_type`) and in GGUF files (`general.architecture`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    fn parse(path: &Path, key: &str, name: &str) -> Result<Self, LoadError> {
        match name {
            "llama" => Ok(Self::Llama),
            "qwen2" => Ok(Self::Qwen2),
            "qwen3" => Ok(Self::Qwen3),
            other => Err(LoadError::unsupported(
                path,
                key,
                other,
                "llama, qwen2, qwen3",
            )),
        }
    }
}

/// Which projections have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Biases {
    /// Query, key and value.
    pub qkv: bool,
    /// Attention's output.
    pub output: bool,
    /// Gate, up and down.
    pub mlp: bool,
}

/// A dense decoder's shape. Lengths are in numbers, counts in pieces.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// The family.
    pub architecture: Architecture,
    /// Numbers that represent a token between layers.
    pub hidden_len: usize,
    /// Decoder layers.
    pub num_layers: usize,
    /// Query heads; a multiple of `num_kv_heads`.
    pub num_heads: usize,
    /// Key and value heads.
    pub num_kv_heads: usize,
    /// Numbers in a head.
    pub head_len: usize,
    /// Numbers inside the feed-forward layer.
    pub ffn_len: usize,
    /// Tokens in the vocabulary, as the embedding has rows.
    pub vocab_len: usize,
    /// The longest sequence the model was made for, in tokens.
    pub max_position_len: usize,
    /// Added to the mean square in norms.
    pub rms_eps: f32,
    /// Which numbers of a head are turned together.
    pub pairing: Pairing,
    /// The angle in radians per position of each pair.
    pub rope_frequencies: Vec<f32>,
    /// Whether the embedding is also the head.
    pub is_tied: bool,
    /// Which projections have a bias.
    pub biases: Biases,
}

impl ModelConfig {
    /// Numbers of one token's query, key and value.
    pub fn qkv_len(&self) -> usize {
        (self.num_heads + 2 * self.num_kv_heads) * self.head_len
    }

    /// Weights, counted from the shape; a tied head is counted once.
    pub fn num_parameters(&self) -> u64 {
        let q_len = self.num_heads * self.head_len;
        let if_set = |set: bool, len: usize| if set { len } else { 0 };
        let attention = (self.qkv_len() + q_len) * self.hidden_len
            + if_set(self.biases.qkv, self.qkv_len())
            + if_set(self.biases.output, self.hidden_len)
            + if_set(self.architecture == Architecture::Qwen3, 2 * self.head_len);
        let mlp = 3 * self.hidden_len * self.ffn_len
            + if_set(self.biases.mlp, 2 * self.ffn_len + self.hidden_len);
        let layer = attention + mlp + 2 * self.hidden_len;
        let tables = (1 + usize::from(!self.is_tied)) * self.vocab_len * self.hidden_len;
        (self.num_layers * layer + tables + self.hidden_len) as u64
    }

    /// Refuses shapes that no decoder can have, so that nothing later divides by zero or overflows.
    fn check(self, path: &Path) -> Result<Self, LoadError> {
        let lens = [
            ("hidden size", self.hidden_len),
            ("number of layers", self.num_layers),
            ("number of heads", self.num_heads),
            ("number of key-value heads", self.num_kv_heads),
            ("head size", self.head_len),
            ("feed-forward size", self.ffn_len),
            ("vocabulary size", self.vocab_len),
            ("maximum position", self.max_position_len),
        ];
        if let Some((name, len)) = lens.iter().find(|(_, len)| !(1..=1 << 24).contains(len)) {
            return Err(LoadError::malformed(
                path,
                format!("the {name} is {len}, not within 1..=16777216"),
            ));
        }
        if !self.num_heads.is_multiple_of(self.num_kv_heads) {
            let (heads, kv_heads) = (self.num_heads, self.num_kv_heads);
            return Err(LoadError::malformed(
                path,
                format!("{heads} heads cannot share {kv_heads} key-value heads evenly"),
            ));
        }
        if 2 * self.rope_frequencies.len() > self.head_len {
            let reason = format!(
                "{} rotated pairs do not fit in heads of {}",
                self.rope_frequencies.len(),
                self.head_len
            );
            return Err(LoadError::malformed(path, reason));
        }
        Ok(self)
    }
}
