//! The paged keys and values of one layer, laid out for the attention op.

use crate::lanes::LANES;

/// Tokens a block holds: one vector of scores.
pub const BLOCK_LEN: usize = LANES;

/// Keys and values in blocks of 16 tokens. Zeros at first, which the system gives page by page when written to.
pub struct KvCache {
    num_blocks: usize,
    num_heads: usize,
    head_len: usize,
    /// For each block and head: `head_len` vectors of 16 tokens.
    keys: Vec<[f32; LANES]>,
    /// For each block and head: `head_len.div_ceil(16)` chunks of 16 tokens of 16 numbers.
    values: Vec<[f32; LANES]>,
}

impl KvCache {
    /// Room for `num_blocks` blocks of `num_heads` heads of `head_len` numbers.
    pub fn new(num_blocks: usize, num_heads: usize, head_len: usize) -> Self {
        let zeros = |per_head: usize| vec![[0.0; LANES]; num_blocks * num_heads * per_head];
        let (keys, values) = (zeros(head_len), zeros(head_len.div_ceil(LANES) * BLOCK_LEN));
        Self {
            num_blocks,
            num_heads,
            head_len,
            keys,
            values,
        }
    }

    /// Bytes that one block of such a cache takes.
    pub fn block_byte_len(num_heads: usize, head_len: usize) -> usize {
        num_heads * (head_len + head_len.div_ceil(LANES) * BLOCK_LEN) * size_of::<[f32; LANES]>()
    }

    /// Blocks in the cache.
    pub fn num_blocks(&self) -> usize {
        self.num_blocks
    }

    /// Key-value heads.
    pub fn num_heads(&self) -> usize {
        self.num_heads
    }

    /// Numbers in a head.
    pub fn head_len(&self) -> usize {
        self.head_len
    }

    /// Stores a token's key and value (`num_heads * head_len` each) at place `slot` of `block`. Panics if the block, the
    /// slot or a length is out of range.
    pub fn write(&mut self, block: u32, slot: usize, key: &[f32], value: &[f32]) {
        let len = self.num_heads * self.head_len;
        assert!(
            key.len() == len && value.len() == len && slot < BLOCK_LEN,
            "a key and a value of all heads"
        );
        for head in 0..self.num_heads {
            let (keys, values) = (self.keys_at(block, head), self.values_at(block, head));
            let numbers = head * self.head_len..(head + 1) * self.head_len;
            for (vector, number) in self.keys[keys].iter_mut().zip(&key[numbers.clone()]) {
                vector[slot] = *number;
            }
            for (chunk, numbers) in self.values[values]
                .chunks_exact_mut(BLOCK_LEN)
                .zip(value[numbers].chunks(LANES))
            {
                chunk[slot][..numbers.len()].copy_from_slice(numbers);
            }
        }
    }

    fn keys_at(&self, block: u32, head: usize) -> std::ops::Range<usize> {
        let start = (block as usize * self.num_heads + head) * self.head_len;
        start..start + self.head_len
    }

    fn values_at(&self, block: u32, head: usize) -> std::ops::Range<usize> {
        let len = self.head_len.div_ceil(LANES) * BLOCK_LEN;
        let start = (block as usize * self.num_heads + head) * len;
        start..start + len
    }

    /// `keys(..)[i][slot]` is number `i` of the key at `slot`.
    pub(crate) fn keys(&self, block: u32, head: usize) -> &[[f32; LANES]] {
        &self.keys[self.keys_at(block, head)]
    }

    /// `values(..)[slot][i]` is number `16 * chunk + i` of the value at `slot`.
    pub(crate) fn values(&self, block: u32, head: usize, chunk: usize) -> &[[f32; LANES]] {
        &self.values[self.values_at(block, head)][chunk * BLOCK_LEN..][..BLOCK_LEN]
    }
}
