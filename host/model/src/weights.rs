//! A decoder's weights, packed for the kernels.

mod dummy;
mod gguf;
mod names;
mod safetensors;

use std::ops::Range;

use half::bf16;
use kernels::Matrix;
use rayon::prelude::*;

use crate::config::{Architecture, ModelConfig};
use crate::error::LoadError;

pub(crate) use dummy::{DEVIATION, DummyTensors};
pub(crate) use gguf::{GgufTensors, gguf_vector};
pub(crate) use names::{LayerTensor, Naming};
pub(crate) use safetensors::SafetensorsTensors;

/// Where weights come from.
pub(crate) trait Tensors: Sync {
    /// How this source names tensors.
    fn naming(&self) -> Naming;
    /// A matrix of `rows` outputs and `cols` inputs.
    fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Matrix, LoadError>;
    /// A vector of `len` numbers.
    fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>, LoadError>;
}

/// A source of files, whose numbers a GPU takes as bf16.
pub(crate) trait Bf16Tensors: Tensors {
    /// Rows `part` of the matrix of `shape` (outputs, inputs) as bf16, into `out`; what has more digits is rounded.
    fn bf16_rows(
        &self,
        name: &str,
        shape: [usize; 2],
        part: Range<usize>,
        out: &mut [bf16],
    ) -> Result<(), LoadError>;
}

/// A projection with its bias, if it has one.
pub(crate) struct Projection {
    pub(crate) weight: Matrix,
    pub(crate) bias: Option<Vec<f32>>,
}

/// One decoder layer. Matrices that meet the same input are stacked.
pub(crate) struct Layer {
    pub(crate) attention_norm: Vec<f32>,
    /// Query, key and value.
    pub(crate) qkv: Projection,
    /// Norms of query and key heads.
    pub(crate) qk_norms: Option<[Vec<f32>; 2]>,
    pub(crate) output: Projection,
    pub(crate) ffn_norm: Vec<f32>,
    pub(crate) gate_up: Projection,
    pub(crate) down: Projection,
}

/// All weights.
pub(crate) struct Weights {
    pub(crate) embedding: Matrix,
    pub(crate) layers: Vec<Layer>,
    pub(crate) final_norm: Vec<f32>,
    /// `None`: the embedding is the head.
    head: Option<Matrix>,
}

impl Weights {
    /// Reads and packs everything, layers in parallel.
    pub(crate) fn load(config: &ModelConfig, source: &dyn Tensors) -> Result<Self, LoadError> {
        let naming = source.naming();
        let table = |name: &str| source.matrix(name, config.vocab_len, config.hidden_len);
        let tables = || {
            let head = if config.is_tied {
                Ok(None)
            } else {
                table(naming.head()).map(Some)
            };
            Ok((table(naming.embedding())?, head?))
        };
        let layers = || {
            let layers = (0..config.num_layers).into_par_iter();
            layers
                .map(|index| Layer::load(config, source, index))
                .collect::<Result<Vec<_>, LoadError>>()
        };
        let (tables, layers) = rayon::join(tables, layers);
        let (embedding, head) = tables?;
        let final_norm = source.vector(naming.final_norm(), config.hidden_len)?;
        Ok(Self {
            embedding,
            layers: layers?,
            final_norm,
            head,
        })
    }

    /// The matrix that makes logits.
    pub(crate) fn head(&self) -> &Matrix {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// Bytes of memory of all matrices.
    pub(crate) fn byte_len(&self) -> u64 {
        let layer = |layer: &Layer| {
            let projections = [&layer.qkv, &layer.output, &layer.gate_up, &layer.down];
            projections
                .iter()
                .map(|projection| projection.weight.byte_len())
                .sum::<usize>()
        };
        let tables = self.embedding.byte_len() + self.head.as_ref().map_or(0, Matrix::byte_len);
        (tables + self.layers.iter().map(layer).sum::<usize>()) as u64
    }
}

impl Layer {
    fn load(config: &ModelConfig, source: &dyn Tensors, index: usize) -> Result<Self, LoadError> {
        use LayerTensor as T;
        let name = |tensor: T| source.naming().layer(index, tensor);
        let vector = |tensor: T, len| source.vector(&name(tensor), len);
        // Stacks the tensors, given with their outputs and biases.
        let stack = |parts: &[(T, T, usize)], cols, has_bias| -> Result<Projection, LoadError> {
            let weights = parts
                .iter()
                .map(|(weight, _, rows)| source.matrix(&name(*weight), *rows, cols));
            let biases = parts.iter().map(|(_, bias, rows)| vector(*bias, *rows));
            Ok(Projection {
                weight: Matrix::stack(weights.collect::<Result<_, _>>()?),
                bias: if has_bias {
                    Some(biases.collect::<Result<Vec<_>, _>>()?.concat())
                } else {
                    None
                },
            })
        };
        let (hidden, ffn, biases) = (config.hidden_len, config.ffn_len, config.biases);
        let (q, kv) = (
            config.num_heads * config.head_len,
            config.num_kv_heads * config.head_len,
        );
        let qk_norms = match config.architecture {
            Architecture::Qwen3 => Some([
                vector(T::QNorm, config.head_len)?,
                vector(T::KNorm, config.head_len)?,
            ]),
            Architecture::Llama | Architecture::Qwen2 => None,
        };
        Ok(Self {
            attention_norm: vector(T::AttentionNorm, hidden)?,
            qkv: stack(
                &[
                    (T::Q, T::QBias, q),
                    (T::K, T::KBias, kv),
                    (T::V, T::VBias, kv),
                ],
                hidden,
                biases.qkv,
            )?,
            qk_norms,
            output: stack(&[(T::Output, T::OutputBias, hidden)], q, biases.output)?,
            ffn_norm: vector(T::FfnNorm, hidden)?,
            gate_up: stack(
                &[(T::Gate, T::GateBias, ffn), (T::Up, T::UpBias, ffn)],
                hidden,
                biases.mlp,
            )?,
            down: stack(&[(T::Down, T::DownBias, hidden)], ffn, biases.mlp)?,
        })
    }
}
