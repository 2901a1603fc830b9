//! The angles of the rotary position embedding.

use std::path::Path;

use serde_json::Value;

use crate::error::LoadError;

/// The angle per position of each of `num_pairs` pairs: `theta^(-pair / num_pairs)`, in floats because the reference has it so.
pub(super) fn frequencies(theta: f64, num_pairs: usize) -> Vec<f32> {
    (0..num_pairs)
        .map(|pair| 1.0 / theta.powf(pair as f64 / num_pairs as f64) as f32)
        .collect()
}

/// Llama 3.1's way to reach longer contexts: slow angles are slowed further, fast ones stay, those between are blended.
struct Llama3Scaling {
    factor: f32,
    low_freq_factor: f32,
    high_freq_factor: f32,
    original_len: f32,
}

impl Llama3Scaling {
    fn apply(&self, frequency: f32) -> f32 {
        let turns = self.original_len * frequency / (2.0 * std::f32::consts::PI);
        if turns < self.low_freq_factor {
            frequency / self.factor
        } else if turns > self.high_freq_factor {
            frequency
        } else {
            let share =
                (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor);
            (1.0 - share) * frequency / self.factor + share * frequency
        }
    }
}

/// Applies `rope_scaling` (or `rope_parameters`) of a `config.json` to unscaled frequencies.
pub(super) fn scale(
    path: &Path,
    key: &str,
    scaling: &Value,
    frequencies: &mut [f32],
) -> Result<(), LoadError> {
    let kind = scaling
        .get("rope_type")
        .or_else(|| scaling.get("type"))
        .and_then(Value::as_str)
        .unwrap_or("default");
    let number = |name: &str| {
        scaling
            .get(name)
            .and_then(Value::as_f64)
            .map(|number| number as f32)
            .filter(|number| *number > 0.0)
            .ok_or_else(|| {
                LoadError::malformed(
                    path,
                    format!("{key}.{name} is missing or not a positive number"),
                )
            })
    };
    match kind {
        "default" => Ok(()),
        "linear" => {
            let factor = number("factor")?;
            frequencies
                .iter_mut()
                .for_each(|frequency| *frequency /= factor);
            Ok(())
        }
        "llama3" => {
            let scaling = Llama3Scaling {
                factor: number("factor")?,
                low_freq_factor: number("low_freq_factor")?,
                high_freq_factor: number("high_freq_factor")?,
                original_len: number("original_max_position_embeddings")?,
            };
            frequencies
                .iter_mut()
                .for_each(|frequency| *frequency = scaling.apply(*frequency));
            Ok(())
        }
        other => Err(LoadError::unsupported(
            path,
            format!("{key}.rope_type"),
            other,
            "default, linear, llama3",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama3_slows_slow_angles_and_keeps_fast_ones() {
        let scaling = serde_json::json!({
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192
        });
        let before = frequencies(500_000.0, 64);
        let mut after = before.clone();
        scale(
            Path::new("config.json"),
            "rope_scaling",
            &scaling,
            &mut after,
        )
        .unwrap();
        assert_eq!(after[0], before[0]);
        assert_eq!(after[63], before[63] / 8.0);
        // Pair 32 turns 8192 / (2 pi sqrt(500000)) = 1.844 times: a share of 0.2813 stays.
        let expected = before[32] * (0.7187 / 8.0 + 0.2813);
        assert!(
            (after[32] - expected).abs() < 1e-3 * expected,
            "{} is not {expected}",
            after[32]
        );
    }

    #[test]
    fn an_unknown_scaling_is_named() {
        let error = scale(
            Path::new("config.json"),
            "rope_scaling",
            &serde_json::json!({"type": "yarn"}),
            &mut [],
        );
        assert_eq!(
            error.unwrap_err().to_string(),
            "config.json: rope_scaling.rope_type = yarn is not supported; supported: default, linear, llama3"
        );
    }
}
