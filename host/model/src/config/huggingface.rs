//! `config.json` as the transformers library writes it, in its older and newer forms.

use std::path::Path;

use kernels::Pairing;
use serde::Deserialize;
use serde_json::Value;

use super::rope;
use super::{Architecture, Biases, ModelConfig};
use crate::error::LoadError;

/// The keys that matter. Absent ones mean what the transformers library takes them for.
#[derive(Deserialize)]
struct Raw {
    model_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_scaling: Option<Value>,
    rope_parameters: Option<Value>,
    hidden_act: Option<String>,
    tie_word_embeddings: Option<bool>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    use_sliding_window: Option<bool>,
    layer_types: Option<Vec<String>>,
    quantization_config: Option<Value>,
}

impl ModelConfig {
    /// Parses the text of a `config.json`; `path` is for errors.
    pub fn from_json(path: &Path, text: &str) -> Result<Self, LoadError> {
        let raw: Raw =
            serde_json::from_str(text).map_err(|error| LoadError::malformed(path, error))?;
        let architecture = Architecture::parse(path, "model_type", &raw.model_type)?;
        raw.refuse_unsupported(path)?;
        if raw.num_attention_heads == 0 {
            return Err(LoadError::malformed(path, "num_attention_heads is 0"));
        }
        let head_len = raw
            .head_dim
            .unwrap_or(raw.hidden_size / raw.num_attention_heads);
        Self {
            architecture,
            hidden_len: raw.hidden_size,
            num_layers: raw.num_hidden_layers,
            num_heads: raw.num_attention_heads,
            num_kv_heads: raw.num_key_value_heads.unwrap_or(raw.num_attention_heads),
            head_len,
            ffn_len: raw.intermediate_size,
            vocab_len: raw.vocab_size,
            max_position_len: raw.max_position_embeddings,
            rms_eps: raw.rms_norm_eps as f32,
            pairing: Pairing::Halves,
            rope_frequencies: raw.rope_frequencies(path, head_len / 2)?,
            is_tied: raw.tie_word_embeddings.unwrap_or(false),
            biases: raw.biases(architecture),
        }
        .check(path)
    }
}

impl Raw {
    fn refuse_unsupported(&self, path: &Path) -> Result<(), LoadError> {
        if let Some(act) = self.hidden_act.as_deref().filter(|act| *act != "silu") {
            return Err(LoadError::unsupported(path, "hidden_act", act, "silu"));
        }
        if self
            .quantization_config
            .as_ref()
            .is_some_and(|config| !config.is_null())
        {
            let supported = "none: safetensors of bf16, f16 or f32; quantised models as GGUF";
            return Err(LoadError::unsupported(
                path,
                "quantization_config",
                "(set)",
                supported,
            ));
        }
        if self.use_sliding_window == Some(true) {
            return Err(LoadError::unsupported(
                path,
                "use_sliding_window",
                true,
                "false",
            ));
        }
        let other_layer = self
            .layer_types
            .iter()
            .flatten()
            .find(|kind| *kind != "full_attention");
        other_layer.map_or(Ok(()), |kind| {
            Err(LoadError::unsupported(
                path,
                "layer_types",
                kind,
                "full_attention",
            ))
        })
    }

    fn rope_frequencies(&self, path: &Path, num_pairs: usize) -> Result<Vec<f32>, LoadError> {
        let parameters = self
            .rope_parameters
            .as_ref()
            .filter(|value| !value.is_null());
        let newer_theta = parameters
            .and_then(|value| value.get("rope_theta"))
            .and_then(Value::as_f64);
        let theta = newer_theta.or(self.rope_theta).unwrap_or(10_000.0);
        if !(theta.is_finite() && theta > 0.0) {
            return Err(LoadError::malformed(
                path,
                format!("rope_theta is {theta}, not a positive number"),
            ));
        }
        let mut frequencies = rope::frequencies(theta, num_pairs.min(1 << 24));
        if let Some(parameters) = parameters {
            rope::scale(path, "rope_parameters", parameters, &mut frequencies)?;
        } else if let Some(scaling) = self.rope_scaling.as_ref().filter(|value| !value.is_null()) {
            rope::scale(path, "rope_scaling", scaling, &mut frequencies)?;
        }
        Ok(frequencies)
    }

    fn biases(&self, architecture: Architecture) -> Biases {
        let attention = self.attention_bias.unwrap_or(false);
        match architecture {
            Architecture::Qwen2 => Biases {
                qkv: true,
                output: false,
                mlp: false,
            },
            Architecture::Llama => Biases {
                qkv: attention,
                output: attention,
                mlp: self.mlp_bias.unwrap_or(false),
            },
            Architecture::Qwen3 => Biases {
                qkv: attention,
                output: attention,
                mlp: false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(change: impl FnOnce(&mut Value)) -> String {
        let mut config = serde_json::json!({
            "model_type": "qwen3", "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
            "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936,
            "max_position_embeddings": 262_144, "rms_norm_eps": 1e-6, "rope_theta": 5_000_000, "rope_scaling": null,
            "tie_word_embeddings": true, "hidden_act": "silu", "use_sliding_window": false
        });
        change(&mut config);
        config.to_string()
    }

    fn parse(text: &str) -> Result<ModelConfig, LoadError> {
        ModelConfig::from_json(Path::new("config.json"), text)
    }

    #[test]
    fn a_published_qwen3_config_has_its_published_size() {
        let config = parse(&json(|_| {})).unwrap();
        assert_eq!(config.num_parameters(), 4_022_468_096);
        assert_eq!(
            (config.qkv_len(), config.rope_frequencies.len()),
            (6144, 64)
        );
        assert_eq!(
            config.biases,
            Biases {
                qkv: false,
                output: false,
                mlp: false
            }
        );
    }

    #[test]
    fn what_cannot_be_run_is_refused_by_key() {
        type Case = (fn(&mut Value), &'static str);
        let cases: [Case; 6] = [
            (|c| c["model_type"] = "gemma3".into(), "model_type = gemma3"),
            (|c| c["hidden_act"] = "gelu".into(), "hidden_act = gelu"),
            (
                |c| c["use_sliding_window"] = true.into(),
                "use_sliding_window = true",
            ),
            (
                |c| c["quantization_config"] = serde_json::json!({"bits": 4}),
                "quantization_config",
            ),
            (
                |c| c["num_key_value_heads"] = 7.into(),
                "32 heads cannot share 7",
            ),
            (|c| c["hidden_size"] = 0.into(), "hidden size is 0"),
        ];
        for (change, expected) in cases {
            let error = parse(&json(change)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = parse(&json(|c| {
            drop(c.as_object_mut().unwrap().remove("hidden_size"))
        }))
        .unwrap_err();
        assert!(
            error.to_string().contains("missing field `hidden_size`"),
            "{error}"
        );
    }

    #[test]
    fn qwen2_has_biases_on_query_key_and_value() {
        let config = parse(&json(|c| c["model_type"] = "qwen2".into())).unwrap();
        assert_eq!(
            config.biases,
            Biases {
                qkv: true,
                output: false,
                mlp: false
            }
        );
    }

    #[test]
    fn the_newer_form_names_theta_inside_rope_parameters() {
        let older = parse(&json(|_| {})).unwrap();
        let newer = parse(&json(|c| {
            c["rope_theta"] = Value::Null;
            c["rope_parameters"] =
                serde_json::json!({"rope_type": "default", "rope_theta": 5_000_000.0});
        }));
        assert_eq!(newer.unwrap().rope_frequencies, older.rope_frequencies);
    }
}
