//! What attention's kernels have to know of a model.

use half::bf16;

use super::View;

/// Heads of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub num_heads: usize,
    /// Key heads, and as many value heads: a divisor of `num_heads`.
    pub num_kv_heads: usize,
    /// Numbers in a head: 64 or 128.
    pub head_len: usize,
}

impl Heads {
    /// Query heads of a key head.
    pub fn group_len(&self) -> usize {
        self.num_heads / self.num_kv_heads
    }

    /// Numbers of one token's query, key and value.
    pub fn qkv_len(&self) -> usize {
        (self.num_heads + 2 * self.num_kv_heads) * self.head_len
    }
}

/// Norms of query and key heads before their rotation.
#[derive(Clone, Copy, Debug)]
pub struct QkNorms<'a> {
    /// Weights of a query head.
    pub q: View<'a, bf16>,
    /// Weights of a key head.
    pub k: View<'a, bf16>,
    /// Added to the mean square.
    pub eps: f32,
}
