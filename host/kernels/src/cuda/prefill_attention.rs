//! Causal attention of many new tokens a sequence over the paged cache: `cuda/prefill_attention.cu` on any card, and
//! `cuda/prefill_attention_sm90a.cu` on Hopper.
//!
//! Both wait for the kernel before them only where they read what it wrote: the arrays in [`Sequences`] must be there earlier.
//!
//! A row's bits depend on its own sequence alone: not on how the prompt was cut into chunks, nor on what else is in the launch.

mod timing;

use cudarc::driver::sys;
use half::bf16;

use super::{CudaError, Device, Dispatch, Heads, PAGE_LEN, View};

pub use timing::time;

/// Packed rows, which are tokens times the query heads of a kv head, of a q tile.
const TILE_ROWS: usize = 128;

/// What is computed for whom, on the device. Sequence `s` has rows `q_start[s]..` of the queries, one for each of its last
/// `q_len[s]` tokens, `kv_len[s]` tokens in the cache, those included, and the pages `pages[page_start[s]]..`.
#[derive(Clone, Copy, Debug)]
pub struct Sequences<'a> {
    /// What [`tiles`] returned, flat.
    pub tiles: View<'a, i32>,
    /// First row.
    pub q_start: View<'a, i32>,
    /// Rows.
    pub q_len: View<'a, i32>,
    /// Tokens in the cache.
    pub kv_len: View<'a, i32>,
    /// Where its pages begin.
    pub page_start: View<'a, i32>,
    /// Page numbers of all sequences.
    pub pages: View<'a, i32>,
}

/// The two kernels. They round differently, so a model stays with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `mma.sync` and `cp.async`: any card, head length 64 and 128.
    Mma,
    /// `wgmma` and bulk copies: compute capability 9.0, head length 128.
    Wgmma,
}

impl Version {
    /// The faster one that can do it.
    pub fn of(device: &Device, heads: Heads) -> Self {
        if device.compute_capability() == (9, 0) && heads.head_len == 128 {
            Self::Wgmma
        } else {
            Self::Mma
        }
    }
}

/// Tiles of a sequence that are worked on together: they read the same keys, which the second-level cache then keeps. With more,
/// short tiles would come before long ones of other sequences.
const NEIGHBOURS: usize = 16;

/// The work of one launch: (sequence, q tile) pairs, those with most keys first, so that the last ones to run are short; but
/// neighbours in a sequence stay together. `group` is the number of query heads of a kv head.
///
/// ```
/// // 2 new tokens of a long sequence, and a prompt of 40 tokens.
/// let tiles = kernels::cuda::prefill_attention::tiles(&[2, 40], &[1000, 40], 4);
/// assert_eq!(tiles, [[0, 0], [1, 1], [1, 0]]);
/// ```
///
/// # Panics
/// If a sequence has more new tokens than tokens.
pub fn tiles(q_lens: &[i32], kv_lens: &[i32], group: usize) -> Vec<[i32; 2]> {
    assert_eq!(q_lens.len(), kv_lens.len(), "both of every sequence");
    let mut tiles = Vec::new();
    for (sequence, (&q_len, &kv_len)) in q_lens.iter().zip(kv_lens).enumerate() {
        assert!(
            0 <= q_len && q_len <= kv_len,
            "{q_len} of {kv_len} tokens are new"
        );
        let num_tiles = (q_len as usize * group).div_ceil(TILE_ROWS);
        for tile in (0..num_tiles).rev() {
            let from_last = num_tiles - 1 - tile;
            let longest = num_tiles - from_last / NEIGHBOURS * NEIGHBOURS;
            let keys =
                (kv_len - q_len) as usize + (longest * TILE_ROWS / group).min(q_len as usize);
            tiles.push((keys, [sequence as i32, tile as i32]));
        }
    }
    // Stable: neighbours have equal keys here.
    tiles.sort_by_key(|&(keys, _)| std::cmp::Reverse(keys));
    tiles.into_iter().map(|(_, tile)| tile).collect()
}

/// `prefill_attention.cuh`'s own.
#[repr(C)]
#[derive(Clone, Copy)]
struct PrefillArgs {
    q: u64,
    cache: u64,
    out: u64,
    tiles: u64,
    q_start: u64,
    q_len: u64,
    kv_len: u64,
    page_start: u64,
    pages: u64,
    q_stride: i32,
    num_kv_heads: i32,
    group: i32,
    scale: f32,
}

/// `prefill_attention_sm90a.cu`'s own.
#[repr(C)]
#[derive(Clone, Copy)]
struct WgmmaArgs {
    cache: sys::CUtensorMap,
    rest: PrefillArgs,
    num_tiles: i32,
}

/// Writes the attention of the `sequences`' rows to `out`, `[row][head][head_len]`. The queries are normalised, rotated and
/// `q_stride` numbers apart, q heads first; `cache` is the layer's, and has the new keys and values already. Rows of `out` that
/// belong to no sequence stay as they are.
///
/// What the arrays on the device say is not checked: rows and pages must exist.
///
/// # Panics
/// If a shape is one that the kernels do not have, or the lengths contradict each other.
pub fn prefill_attention(
    device: &Device,
    heads: Heads,
    (q, q_stride): (View<'_, bf16>, usize),
    cache: View<'_, bf16>,
    sequences: &Sequences<'_>,
    out: View<'_, bf16>,
) -> Result<(), CudaError> {
    let version = Version::of(device, heads);
    prefill_attention_by(version, device, heads, (q, q_stride), cache, sequences, out)
}

/// [`prefill_attention`] by the kernel that the caller names.
///
/// # Panics
/// As [`prefill_attention`], or if the device does not have that kernel.
#[allow(unsafe_code, reason = "launches a kernel")]
pub fn prefill_attention_by(
    version: Version,
    device: &Device,
    heads: Heads,
    (q, q_stride): (View<'_, bf16>, usize),
    cache: View<'_, bf16>,
    sequences: &Sequences<'_>,
    out: View<'_, bf16>,
) -> Result<(), CudaError> {
    let Heads {
        num_heads,
        num_kv_heads,
        head_len,
    } = heads;
    let page = 2 * num_kv_heads * PAGE_LEN * head_len;
    let num_sequences = sequences.q_len.len();
    assert!(
        matches!(head_len, 64 | 128),
        "no kernel for heads of {head_len}"
    );
    assert!(
        num_heads.is_multiple_of(num_kv_heads),
        "{num_kv_heads} kv heads share {num_heads} heads"
    );
    assert!(
        q_stride >= num_heads * head_len && q_stride.is_multiple_of(8),
        "a row of {q_stride}"
    );
    assert!(
        cache.len().is_multiple_of(page),
        "whole pages of {page} numbers"
    );
    assert!(
        out.len().is_multiple_of(num_heads * head_len),
        "whole rows out"
    );
    assert!(
        sequences.tiles.len().is_multiple_of(2),
        "(sequence, tile) pairs"
    );
    for len in [
        sequences.q_start.len(),
        sequences.kv_len.len(),
        sequences.page_start.len(),
    ] {
        assert_eq!(len, num_sequences, "one number for each sequence");
    }
    for ptr in [q.ptr(), cache.ptr(), out.ptr()] {
        assert!(ptr.is_multiple_of(16), "rows are read 16 bytes at a time");
    }
    let num_blocks = sequences.tiles.len() / 2 * num_kv_heads;
    if num_blocks == 0 {
        return Ok(());
    }
    let args = PrefillArgs {
        q: q.ptr(),
        cache: cache.ptr(),
        out: out.ptr(),
        tiles: sequences.tiles.ptr(),
        q_start: sequences.q_start.ptr(),
        q_len: sequences.q_len.ptr(),
        kv_len: sequences.kv_len.ptr(),
        page_start: sequences.page_start.ptr(),
        pages: sequences.pages.ptr(),
        q_stride: q_stride as i32,
        num_kv_heads: num_kv_heads as i32,
        group: (num_heads / num_kv_heads) as i32,
        scale: std::f32::consts::LOG2_E / (head_len as f32).sqrt(),
    };
    let grid = [num_blocks as u32, 1, 1];
    match version {
        Version::Mma => {
            let kernel = device.kernel(
                "prefill_attention",
                &format!("prefill_attention_{head_len}"),
            )?;
            let dispatch = Dispatch {
                grid,
                threads: 256,
                shared_bytes: 2 * 2 * 64 * head_len as u32 * 2,
                overlaps: true,
            };
            // SAFETY: the struct is the kernel's; the shapes are checked, and the caller promises what the arrays say.
            unsafe { device.launch(&kernel, dispatch, &args) }
        }
        Version::Wgmma => {
            assert_eq!(head_len, 128, "the Hopper kernel has heads of 128");
            assert!(
                cache.len() / head_len <= i32::MAX as usize,
                "rows of the cache are counted in 32 bits"
            );
            let kernel = device.kernel("prefill_attention_sm90a", "prefill_attention_wgmma")?;
            let dispatch = Dispatch {
                grid: [grid[0].min(device.num_sms()), 1, 1],
                threads: 384,
                shared_bytes: WGMMA_SHARED_BYTES,
                overlaps: true,
            };
            let args = WgmmaArgs {
                cache: boxes_of_a_page(cache, head_len)?,
                rest: args,
                num_tiles: (sequences.tiles.len() / 2) as i32,
            };
            // SAFETY: as above.
            unsafe { device.launch(&kernel, dispatch, &args) }
        }
    }
}

/// Two slots of queries and two stages of keys and values, 128 rows each, and barriers; the kernel aligns itself to 1024 bytes.
const WGMMA_SHARED_BYTES: u32 = 6 * 128 * 128 * 2 + 1024 + 256;

/// The cache as rows of one head, of which a copy takes half a row of each token of a page: 128 bytes is what a swizzled row
/// holds.
#[allow(unsafe_code, reason = "asks the driver to encode a tensor map")]
fn boxes_of_a_page(cache: View<'_, bf16>, head_len: usize) -> Result<sys::CUtensorMap, CudaError> {
    let mut map = sys::CUtensorMap { opaque: [0; 16] };
    let lens = [head_len as u64, (cache.len() / head_len) as u64];
    let stride = [head_len as u64 * 2];
    let box_lens = [64, PAGE_LEN as u32];
    // SAFETY: the pointers are to as many numbers as a tensor of two dimensions has; nothing is read from the cache here.
    unsafe {
        sys::cuTensorMapEncodeTiled(
            &mut map,
            sys::CUtensorMapDataType_enum::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
            2,
            cache.ptr() as *mut _,
            lens.as_ptr(),
            stride.as_ptr(),
            box_lens.as_ptr(),
            [1, 1].as_ptr(),
            sys::CUtensorMapInterleave_enum::CU_TENSOR_MAP_INTERLEAVE_NONE,
            sys::CUtensorMapSwizzle_enum::CU_TENSOR_MAP_SWIZZLE_128B,
            sys::CUtensorMapL2promotion_enum::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
            sys::CUtensorMapFloatOOBfill_enum::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    }
    .result()?;
    Ok(map)
}
