//! Where each weight lies in the one allocation that holds them all.

use engine::runner::TokenId;
use half::bf16;
use kernels::{
    Pairing,
    cuda::{Buffer, Heads, View, gemm::Weight},
};

use crate::config::{Architecture, ModelConfig};
use crate::weights::{LayerTensor, Naming};

/// Weights begin at multiples of so many numbers: 256 bytes, as fast copies and matrix products like it.
const ALIGNMENT: usize = 128;

/// Where a matrix or vector lies, in numbers from the beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    start: usize,
    rows: usize,
    cols: usize,
}

/// One decoder layer. Matrices that meet the same input are stacked.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayerPlaces {
    pub(super) attention_norm: Place,
    pub(super) qkv: Place,
    pub(super) qk_norms: Option<[Place; 2]>,
    pub(super) output: Place,
    pub(super) ffn_norm: Place,
    pub(super) gate_up: Place,
    pub(super) down: Place,
}

/// Where everything lies.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) embedding: Place,
    pub(super) head: Place,
    pub(super) final_norm: Place,
    pub(super) layers: Vec<LayerPlaces>,
    /// Numbers in all.
    pub(super) len: usize,
}

/// A tensor of a file, and where it goes.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) name: String,
    pub(super) rows: usize,
    /// 0 for a vector.
    pub(super) cols: usize,
    /// In numbers.
    pub(super) start: usize,
    /// The rows of queries and keys whose pairs lie side by side are put as the kernels want them: all firsts, then all seconds.
    pub(super) pairs_of_heads: Option<usize>,
}

impl Layout {
    pub(super) fn new(config: &ModelConfig) -> Self {
        let mut len = 0usize;
        let mut place = |rows: usize, cols: usize| {
            let start = len;
            len = (len + rows * cols.max(1)).next_multiple_of(ALIGNMENT);
            Place { start, rows, cols }
        };
        let (hidden, ffn) = (config.hidden_len, config.ffn_len);
        let embedding = place(config.vocab_len, hidden);
        let layers = (0..config.num_layers)
            .map(|_| LayerPlaces {
                attention_norm: place(hidden, 0),
                qkv: place(config.qkv_len(), hidden),
                qk_norms: (config.architecture == Architecture::Qwen3)
                    .then(|| [place(config.head_len, 0), place(config.head_len, 0)]),
                output: place(hidden, config.num_heads * config.head_len),
                ffn_norm: place(hidden, 0),
                gate_up: place(2 * ffn, hidden),
                down: place(hidden, ffn),
            })
            .collect();
        let final_norm = place(hidden, 0);
        let head = if config.is_tied {
            embedding
        } else {
            place(config.vocab_len, hidden)
        };
        Self {
            embedding,
            head,
            final_norm,
            layers,
            len,
        }
    }

    /// Bytes on the device.
    pub(super) fn byte_len(&self) -> u64 {
        (self.len * size_of::<bf16>()) as u64
    }

    /// Bytes that a decode step reads: all but an embedding that is not the head, too.
    pub(super) fn step_byte_len(&self) -> u64 {
        let is_tied = self.head.start == self.embedding.start;
        let unread = if is_tied {
            0
        } else {
            self.embedding.rows * self.embedding.cols * size_of::<bf16>()
        };
        self.byte_len() - unread as u64
    }

    /// The file's tensors, largest first within a layer.
    pub(super) fn pieces(&self, config: &ModelConfig, naming: Naming) -> Vec<Piece> {
        use LayerTensor as T;
        let piece = |name: String, place: Place, first_row: usize, rows: usize| Piece {
            name,
            rows,
            cols: place.cols,
            start: place.start + first_row * place.cols,
            pairs_of_heads: None,
        };
        let whole = |name: String, place: Place| piece(name, place, 0, place.rows);
        let mut pieces = vec![whole(naming.embedding().to_owned(), self.embedding)];
        if !config.is_tied {
            pieces.push(whole(naming.head().to_owned(), self.head));
        }
        pieces.push(whole(naming.final_norm().to_owned(), self.final_norm));
        let (q, kv) = (
            config.num_heads * config.head_len,
            config.num_kv_heads * config.head_len,
        );
        let pairs_of_heads = (config.pairing == Pairing::Neighbours).then_some(config.head_len);
        for (index, layer) in self.layers.iter().enumerate() {
            let name = |tensor| naming.layer(index, tensor);
            let turned = |piece: Piece| Piece {
                pairs_of_heads,
                ..piece
            };
            pieces.extend([
                whole(name(T::AttentionNorm), layer.attention_norm),
                turned(piece(name(T::Q), layer.qkv, 0, q)),
                turned(piece(name(T::K), layer.qkv, q, kv)),
                piece(name(T::V), layer.qkv, q + kv, kv),
                whole(name(T::Output), layer.output),
                whole(name(T::FfnNorm), layer.ffn_norm),
                piece(name(T::Gate), layer.gate_up, 0, config.ffn_len),
                piece(name(T::Up), layer.gate_up, config.ffn_len, config.ffn_len),
                whole(name(T::Down), layer.down),
            ]);
            if let Some([q_norm, k_norm]) = layer.qk_norms {
                pieces.extend([whole(name(T::QNorm), q_norm), whole(name(T::KNorm), k_norm)]);
            }
        }
        pieces
    }
}

/// The weights on the device, and the shape that they have.
pub(super) struct DeviceWeights {
    pub(super) config: ModelConfig,
    pub(super) layout: Layout,
    pub(super) numbers: Buffer<bf16>,
}

impl DeviceWeights {
    pub(super) fn vector(&self, place: Place) -> View<'_, bf16> {
        self.numbers.view().slice(place.start, place.rows)
    }

    pub(super) fn matrix(&self, place: Place) -> Weight<'_> {
        Weight {
            view: self
                .numbers
                .view()
                .slice(place.start, place.rows * place.cols),
            num_rows: place.rows,
            num_cols: place.cols,
        }
    }

    pub(super) fn heads(&self) -> Heads {
        heads(&self.config)
    }

    /// Whether the embedding has a row for it.
    pub(super) fn has(&self, token: TokenId) -> bool {
        (token as usize) < self.config.vocab_len
    }
}

pub(super) fn heads(config: &ModelConfig) -> Heads {
    Heads {
        num_heads: config.num_heads,
        num_kv_heads: config.num_kv_heads,
        head_len: config.head_len,
    }
}
