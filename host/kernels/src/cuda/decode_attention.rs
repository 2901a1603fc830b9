//! Attention of one new token a sequence: QK-norm, rotation, the append to the paged cache and flash decoding in one launch.

pub mod timing;

use half::bf16;

use super::{Buffer, CudaError, Device, Dispatch, Kernel, PAGE_LEN, QkNorms, View};

/// The most parts that a sequence is split into.
pub const MAX_CHUNKS: usize = 16;
/// Tokens of a chunk of a short sequence.
const MIN_CHUNK: usize = 256;
/// Tokens that a block takes at a time: chunks are multiples of it.
const STRIDE: usize = 128;
const WARPS: u32 = 4;
/// Head lengths, each with query heads of a key/value head, that are compiled.
pub const SHAPES: [(usize, usize); 8] = [
    (64, 1),
    (64, 3),
    (64, 4),
    (64, 8),
    (128, 2),
    (128, 4),
    (128, 5),
    (128, 8),
];

/// The parts that a sequence of `len` tokens, the new one among them, is split into. Its own length alone decides, so that the
/// result does not depend on the batch.
pub fn chunks(len: usize) -> usize {
    let chunk = len
        .div_ceil(MAX_CHUNKS * STRIDE)
        .saturating_mul(STRIDE)
        .max(MIN_CHUNK);
    len.div_ceil(chunk)
}

/// The smallest of 1, 2, 4, 8 and 16 that is enough for sequences of at most `longest` tokens: [`DecodeBatch::num_chunks`].
pub fn chunks_bucket(longest: usize) -> usize {
    // Not monotonic above 4096 tokens: 4097 make 11 chunks, of 384 tokens.
    let chunks = if longest > MAX_CHUNKS * MIN_CHUNK {
        MAX_CHUNKS
    } else {
        chunks(longest)
    };
    chunks.max(1).next_power_of_two()
}

/// The kernel for one model's heads, and its scratch memory.
pub struct DecodeAttention {
    kernel: Kernel,
    partials: Buffer<f32>,
    counters: Buffer<u32>,
    max_rows: usize,
    num_heads: usize,
    num_kv_heads: usize,
    head_len: usize,
}

/// Floats that the parts of one sequence and key/value head leave: outputs, maximum and sum of each query head.
fn partials_of(group: usize, head_len: usize) -> usize {
    MAX_CHUNKS * (group * (head_len + 2)).next_multiple_of(32)
}

/// The sequences of a step. Everything here was written before the step's graph begins.
#[derive(Clone, Copy, Debug)]
pub struct DecodeBatch<'a> {
    /// Tokens of each row's sequence, the new one among them; 0 is a padded row, whose output becomes zeros.
    pub len: View<'a, i32>,
    /// Where each row's page numbers begin in `pages`.
    pub page_start: View<'a, i32>,
    /// Page numbers. Rows may share pages, but for the one that the new token goes to.
    pub pages: View<'a, i32>,
    /// Position, then half a head, then cosine and sine.
    pub rope: View<'a, f32>,
    /// Rows, at most `max_rows`.
    pub num_rows: usize,
    /// [`chunks_bucket`] of the longest length, or more. With less, the ends of long sequences are left out.
    pub num_chunks: usize,
}

/// As `DecodeAttentionArgs` in the kernel.
#[repr(C)]
#[derive(Clone, Copy)]
struct Args {
    qkv: u64,
    cache: u64,
    len: u64,
    page_start: u64,
    pages: u64,
    rope: u64,
    q_norm: u64,
    k_norm: u64,
    out: u64,
    partials: u64,
    counters: u64,
    eps: f32,
}

impl DecodeAttention {
    /// For at most `max_rows` sequences.
    pub fn new(
        device: &Device,
        max_rows: usize,
        num_heads: usize,
        num_kv_heads: usize,
        head_len: usize,
    ) -> Result<Self, CudaError> {
        let group =
            Self::group(num_heads, num_kv_heads, head_len).map_err(CudaError::Unsupported)?;
        let kernel = device.kernel(
            "decode_attention",
            &format!("decode_attention_{head_len}_{group}"),
        )?;
        let sets = max_rows * num_kv_heads;
        Ok(Self {
            kernel,
            partials: device.zeros(
                "attention over splits of long sequences",
                sets * partials_of(group, head_len),
            )?,
            counters: device.zeros("attention's counters", sets)?,
            max_rows,
            num_heads,
            num_kv_heads,
            head_len,
        })
    }

    /// Query heads of a key/value head, if there is a kernel for such heads; else what there is instead.
    pub fn group(num_heads: usize, num_kv_heads: usize, head_len: usize) -> Result<usize, String> {
        let group = num_heads.checked_div(num_kv_heads).unwrap_or(0);
        if group * num_kv_heads == num_heads && SHAPES.contains(&(head_len, group)) {
            return Ok(group);
        }
        let shapes: Vec<_> = SHAPES
            .iter()
            .map(|(len, group)| format!("{len} with {group}"))
            .collect();
        Err(format!(
            "attention with {num_heads} query heads and {num_kv_heads} key/value heads of length {head_len}; there are head lengths \
             with query heads for each key/value head: {}",
            shapes.join(", ")
        ))
    }

    /// Bytes on the device that [`DecodeAttention::new`] takes.
    pub fn byte_len(
        max_rows: usize,
        num_heads: usize,
        num_kv_heads: usize,
        head_len: usize,
    ) -> usize {
        4 * max_rows * num_kv_heads * (partials_of(num_heads / num_kv_heads, head_len) + 1)
    }

    /// Numbers in a page of one layer's cache: `[K|V][kv head][PAGE_LEN][head length]`.
    pub fn page_numbers(&self) -> usize {
        2 * self.num_kv_heads * PAGE_LEN * self.head_len
    }

    /// Appends each row's key and value of `qkv` (`[rows][queries | keys | values]`) to its last page in `cache`, which is one
    /// layer's, and writes what its queries gather from all of its tokens to `out` (`[rows][heads][head length]`).
    ///
    /// The caller guarantees what is on the device: that all page numbers are within the cache, and all lengths within `rope`,
    /// their pages and `num_chunks`. One launch at a time uses the scratch memory, which the stream's order provides.
    ///
    /// # Panics
    /// If a view has not the length that the rows and heads ask for.
    #[allow(unsafe_code, reason = "launches a kernel")]
    pub fn launch(
        &self,
        device: &Device,
        qkv: View<'_, bf16>,
        cache: View<'_, bf16>,
        norm: Option<QkNorms<'_>>,
        batch: &DecodeBatch<'_>,
        out: View<'_, bf16>,
    ) -> Result<(), CudaError> {
        let rows = batch.num_rows;
        let DecodeBatch { num_chunks, .. } = *batch;
        assert!(
            (1..=self.max_rows).contains(&rows),
            "{rows} rows, room for {}",
            self.max_rows
        );
        assert!(
            num_chunks.is_power_of_two() && num_chunks <= MAX_CHUNKS,
            "{num_chunks} chunks are not 1, 2, 4, 8 or 16"
        );
        let qkv_len = rows * (self.num_heads + 2 * self.num_kv_heads) * self.head_len;
        assert_eq!(qkv.len(), qkv_len, "queries, keys and values of each row");
        assert_eq!(
            out.len(),
            rows * self.num_heads * self.head_len,
            "outputs of each row"
        );
        assert!(
            !cache.is_empty() && cache.len().is_multiple_of(self.page_numbers()),
            "the cache has whole pages"
        );
        assert!(
            batch.len.len() >= rows && batch.page_start.len() >= rows,
            "a length and the first page of each row"
        );
        assert!(
            batch.rope.len().is_multiple_of(self.head_len),
            "whole positions of cosines and sines"
        );
        if let Some(norm) = norm {
            assert!(
                norm.q.len() == self.head_len && norm.k.len() == self.head_len,
                "norm weights of a head"
            );
        }
        let args = Args {
            qkv: qkv.ptr(),
            cache: cache.ptr(),
            len: batch.len.ptr(),
            page_start: batch.page_start.ptr(),
            pages: batch.pages.ptr(),
            rope: batch.rope.ptr(),
            q_norm: norm.map_or(0, |norm| norm.q.ptr()),
            k_norm: norm.map_or(0, |norm| norm.k.ptr()),
            out: out.ptr(),
            partials: self.partials.view().ptr(),
            counters: self.counters.view().ptr(),
            eps: norm.map_or(0.0, |norm| norm.eps),
        };
        let dispatch = Dispatch {
            grid: [self.num_kv_heads as u32, num_chunks as u32, rows as u32],
            threads: 32 * WARPS,
            // A page of keys and one of values for each warp.
            shared_bytes: WARPS * 2 * (PAGE_LEN * self.head_len * size_of::<bf16>()) as u32,
            overlaps: true,
        };
        // SAFETY: `Args` mirrors the kernel's struct, the views' lengths were checked above, the scratch memory has room for
        // `max_rows`, and the caller answers for the numbers in the batch.
        unsafe { device.launch(&self.kernel, dispatch, &args) }
    }
}
