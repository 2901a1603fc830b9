//! Seeded random weights in bf16: speed tests of a shape whose checkpoint is not at hand. The text is noise.

use std::hash::{DefaultHasher, Hash, Hasher};

use half::bf16;
use kernels::Matrix;

use super::{Naming, Tensors};
use crate::error::LoadError;

/// Weights spread evenly with this standard deviation, which keeps the activations of deep models finite.
pub(crate) const DEVIATION: f32 = 0.02;

/// A source that makes weights up: the same for the same seed and name.
pub(crate) struct DummyTensors {
    pub(crate) seed: u64,
}

impl Tensors for DummyTensors {
    fn naming(&self) -> Naming {
        Naming::HuggingFace
    }

    fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Matrix, LoadError> {
        let mut hasher = DefaultHasher::new();
        (self.seed, name).hash(&mut hasher);
        let mut state = hasher.finish();
        let width = 2.0 * 3.0f32.sqrt() * DEVIATION;
        let mut bytes = Vec::with_capacity(rows * cols * 2);
        for _ in 0..rows * cols {
            // Knuth's linear congruential generator; its high bits are random enough for noise.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let unit = (state >> 48) as f32 / 65_536.0 - 0.5;
            bytes.extend(bf16::from_f32(unit * width).to_le_bytes());
        }
        Ok(Matrix::from_bf16(&bytes, rows, cols).expect("the bytes were made for this shape"))
    }

    fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>, LoadError> {
        Ok(vec![if name.ends_with("bias") { 0.0 } else { 1.0 }; len])
    }
}
