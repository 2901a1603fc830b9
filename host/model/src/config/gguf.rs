//! The decoder's shape from a GGUF file's metadata.

use std::path::Path;

use candle_core::quantized::gguf_file::{Content, Value};
use kernels::Pairing;

use super::rope;
use super::{Architecture, Biases, ModelConfig};
use crate::error::LoadError;

impl ModelConfig {
    /// Reads the metadata of a GGUF file; `path` is for errors. `rope_factors` divide the frequencies, where a file has them.
    pub(crate) fn from_gguf(
        path: &Path,
        content: &Content,
        rope_factors: Option<&[f32]>,
    ) -> Result<Self, LoadError> {
        let name = match content.metadata.get("general.architecture") {
            Some(Value::String(name)) => name.as_str(),
            _ => {
                return Err(LoadError::malformed(
                    path,
                    "general.architecture is missing",
                ));
            }
        };
        let architecture = Architecture::parse(path, "general.architecture", name)?;
        let keys = Keys {
            path,
            content,
            architecture: name,
        };
        keys.refuse_unsupported()?;

        let num_heads = keys.count("attention.head_count")?;
        let hidden_len = keys.count("embedding_length")?;
        if num_heads == 0 {
            return Err(LoadError::malformed(path, "the number of heads is 0"));
        }
        let head_len = keys
            .optional_count("attention.key_length")?
            .unwrap_or(hidden_len / num_heads);
        let rotated_len = keys
            .optional_count("rope.dimension_count")?
            .unwrap_or(head_len);
        let theta = f64::from(keys.optional_number("rope.freq_base")?.unwrap_or(10_000.0));
        let mut rope_frequencies =
            rope::frequencies(theta, rotated_len.min(head_len).min(1 << 24) / 2);
        if let Some(factors) = rope_factors {
            if factors.len() != rope_frequencies.len() || factors.contains(&0.0) {
                return Err(LoadError::malformed(
                    path,
                    "rope_freqs.weight does not fit the rotated dimensions",
                ));
            }
            rope_frequencies
                .iter_mut()
                .zip(factors)
                .for_each(|(frequency, factor)| *frequency /= factor);
        }
        let embedding = content.tensor_infos.get("token_embd.weight");
        let vocab_len = embedding
            .and_then(|info| info.shape.dims().first().copied())
            .ok_or_else(|| LoadError::MissingTensor {
                path: path.to_owned(),
                name: "token_embd.weight".to_owned(),
            })?;
        let has = |name: &str| content.tensor_infos.contains_key(name);
        Self {
            architecture,
            hidden_len,
            num_layers: keys.count("block_count")?,
            num_heads,
            num_kv_heads: keys
                .optional_count("attention.head_count_kv")?
                .unwrap_or(num_heads),
            head_len,
            ffn_len: keys.count("feed_forward_length")?,
            vocab_len,
            max_position_len: keys.count("context_length")?,
            rms_eps: keys
                .optional_number("attention.layer_norm_rms_epsilon")?
                .unwrap_or(1e-5),
            // The converter reorders the rows of llama's queries and keys, and only llama's.
            pairing: if architecture == Architecture::Llama {
                Pairing::Neighbours
            } else {
                Pairing::Halves
            },
            rope_frequencies,
            is_tied: !has("output.weight"),
            biases: Biases {
                qkv: has("blk.0.attn_q.bias"),
                output: has("blk.0.attn_output.bias"),
                mlp: has("blk.0.ffn_gate.bias"),
            },
        }
        .check(path)
    }
}

/// Keys below the architecture's name.
struct Keys<'a> {
    path: &'a Path,
    content: &'a Content,
    architecture: &'a str,
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.content
            .metadata
            .get(&format!("{}.{key}", self.architecture))
    }

    fn wrong(&self, key: &str, reason: impl std::fmt::Display) -> LoadError {
        LoadError::malformed(
            self.path,
            format!("metadata {}.{key}: {reason}", self.architecture),
        )
    }

    fn optional_count(&self, key: &str) -> Result<Option<usize>, LoadError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let count = match value {
            Value::I32(count) => u64::try_from(*count).ok(),
            other => other.to_u64().ok(),
        };
        let count = count.and_then(|count| usize::try_from(count).ok());
        count
            .map(Some)
            .ok_or_else(|| self.wrong(key, "not a count (layers that differ are not supported)"))
    }

    fn count(&self, key: &str) -> Result<usize, LoadError> {
        self.optional_count(key)?
            .ok_or_else(|| self.wrong(key, "missing"))
    }

    fn optional_number(&self, key: &str) -> Result<Option<f32>, LoadError> {
        let positive = |value: &Value| {
            value
                .to_f32()
                .ok()
                .filter(|number| *number > 0.0 && number.is_finite())
        };
        self.get(key)
            .map(|value| positive(value).ok_or_else(|| self.wrong(key, "not a positive number")))
            .transpose()
    }

    fn refuse_unsupported(&self) -> Result<(), LoadError> {
        let unsupported = |key: &str, value: String, supported| {
            Err(LoadError::unsupported(
                self.path,
                format!("{}.{key}", self.architecture),
                value,
                supported,
            ))
        };
        if let Some(count) = self
            .optional_count("expert_count")?
            .filter(|count| *count > 0)
        {
            return unsupported("expert_count", count.to_string(), "dense models");
        }
        match self.get("rope.scaling.type") {
            Some(Value::String(kind)) if kind != "none" => unsupported(
                "rope.scaling.type",
                kind.clone(),
                "none, or factors in rope_freqs.weight",
            ),
            _ => Ok(()),
        }
    }
}
