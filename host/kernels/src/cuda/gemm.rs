//! y = x · Wᵀ for up to 64 rows of x, near memory bandwidth: the matrix products of a decode step.
//!
//! A row of the result has the same bits whatever the number of rows and whatever the others hold: the order of summation depends
//! on the weight's shape only (`cuda/gemm.cuh` says which it is). RMSNorm is folded in: the product before writes x times the norm's
//! weight and its sums of squares ([`Epilogue::Residual`]), this one scales its result by the row's factor ([`RowScale`]).

use half::bf16;

use super::{Buffer, CudaError, Device, Dispatch, View};

pub mod timing;

/// The most rows of x.
pub const MAX_ROWS: usize = 64;
/// Columns of the residual that share one sum of squares.
pub const COLUMNS_PER_SUM: usize = 16;

/// A linear layer's weight, row-major.
#[derive(Clone, Copy, Debug)]
pub struct Weight<'a> {
    /// The numbers.
    pub view: View<'a, bf16>,
    /// N, the layer's outputs: a multiple of 16.
    pub num_rows: usize,
    /// K, its inputs: a multiple of 64.
    pub num_cols: usize,
}

/// The folded RMSNorm: row m of the result is multiplied by 1 / √(mean of squares + eps).
#[derive(Clone, Copy, Debug)]
pub struct RowScale<'a> {
    /// Sums of squares of the normed vector over 16 columns each: [rows][K / 16].
    pub sums: View<'a, f32>,
    /// Added to the mean.
    pub eps: f32,
}

/// What becomes of the product y, M rows of N, after the scale.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    /// Rounded.
    Store {
        /// [M][N]
        out: View<'a, bf16>,
    },
    /// Added to the residual stream, whose next norm is prepared.
    Residual {
        /// [M][N], updated in place.
        residual: View<'a, f32>,
        /// [N], of the norm that follows.
        norm_weight: View<'a, bf16>,
        /// [M][N]: residual times norm weight, the next product's x.
        out: View<'a, bf16>,
        /// [M][N / 16]: the next product's [`RowScale::sums`].
        sums_out: View<'a, f32>,
    },
    /// silu(gate) · up, where W's first N / 2 rows make the gate and the others up.
    SiluMul {
        /// [M][N / 2]
        out: View<'a, bf16>,
    },
    /// As it is.
    Logits {
        /// [M][N]
        out: View<'a, f32>,
    },
}

/// How a product is computed. Only [`Plan::splits`] has influence on the result's bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The kernel and its sizes.
    pub tiling: Tiling,
    /// Ranges that K is cut into, each other blocks' work.
    pub splits: usize,
}

/// A kernel and its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tiling {
    /// `gemm_stream.cu`.
    Stream {
        /// 8 or 16: the most rows of x.
        tokens: usize,
        /// Tiles of 16 weight rows a strip.
        tiles: usize,
        /// Of the ring.
        stages: usize,
        /// Blocks on a multiprocessor.
        blocks_per_sm: usize,
    },
    /// `gemm_tile.cu`.
    Tile {
        /// 16, 32 or 64: the most rows of x.
        tokens: usize,
        /// Tiles of 16 weight rows a warp.
        tiles: usize,
        /// Groups that the tokens are cut into, each other warps' work.
        groups: usize,
        /// Warps in each of the block's two halves.
        warps: usize,
        /// Of the ring.
        stages: usize,
    },
}

/// Launches the products, and owns what those that split K meet in.
pub struct SkinnyGemm {
    partials: Buffer<f32>,
    arrivals: Buffer<u32>,
}

/// As in `gemm.cuh`.
#[repr(C)]
#[derive(Clone, Copy)]
struct GemmArgs {
    w: u64,
    x: u64,
    sums: u64,
    out: u64,
    residual: u64,
    norm_weight: u64,
    sums_out: u64,
    partials: u64,
    arrivals: u64,
    m: i32,
    n: i32,
    k: i32,
    epilogue: i32,
    splits: i32,
    stages: i32,
    inv_k: f32,
    eps: f32,
}

const CHUNK: usize = 64;
const TILE_ROWS: usize = 16;
/// Bytes of a tile's chunk, and of a token's.
const TILE_BYTES: usize = TILE_ROWS * CHUNK * 2;
const TOKEN_BYTES: usize = CHUNK * 2;
const STREAM_SHARES: usize = 8;
const STREAM_THREADS: usize = 384;
/// Static shared memory, rounded up.
const STATIC_SHARED: usize = 2048;
/// Tiles that a block of `gemm_stream` can finish for its split.
const MAX_FINISHED: usize = 256;

/// Ranges that K is cut into. A function of the shape alone, because it is part of the order of summation.
///
/// Matrices with few rows are cut so that about 128 blocks of 80 rows fill the multiprocessors; a range keeps a chunk for each share.
pub fn num_splits(num_rows: usize, num_cols: usize) -> usize {
    let wanted = (128 * 80) / num_rows.max(1);
    wanted.min(num_cols / CHUNK / 8).clamp(1, 8)
}

impl Plan {
    /// The fastest plan that the card can run for `m` rows of x and a weight of `n` x `k`.
    pub fn of(device: &Device, m: usize, n: usize, k: usize) -> Self {
        let splits = num_splits(n, k);
        let candidates: &[Tiling] = match m {
            0..=8 => &[
                stream(8, 1, 6),
                stream(8, 1, 4),
                stream(8, 1, 3),
                stream(8, 1, 2),
                tile(16, 1, 1, 4, 4),
            ],
            9..=16 => &[
                stream(16, 1, 5),
                stream(16, 1, 4),
                tile(16, 1, 1, 5, 6),
                tile(16, 1, 1, 4, 4),
            ],
            17..=32 => &[tile(32, 1, 1, 5, 4), tile(32, 1, 1, 4, 3)],
            _ => &[tile(64, 1, 1, 5, 4), tile(64, 1, 1, 4, 2)],
        };
        let fits = |tiling: &&Tiling| {
            let plan = Self {
                tiling: **tiling,
                splits,
            };
            plan.is_possible(device, m, n, k)
        };
        let tiling = *candidates
            .iter()
            .find(fits)
            .expect("the last candidate needs less than the oldest card has");
        Self { tiling, splits }
    }

    /// Whether the card has the shared memory, and the kernel room in its lists.
    pub fn is_possible(&self, device: &Device, m: usize, n: usize, k: usize) -> bool {
        let fits = self.shared_bytes(m, k) + STATIC_SHARED <= device.max_shared_bytes() as usize;
        let has_room = match self.tiling {
            Tiling::Stream { tiles, .. } => {
                let a_range = self.num_stream_blocks(device, n) / self.splits;
                self.splits == 1
                    || (n / TILE_ROWS).div_ceil(tiles).div_ceil(a_range) * tiles <= MAX_FINISHED
            }
            Tiling::Tile { .. } => true,
        };
        fits && has_room && m <= self.tokens()
    }

    fn tokens(&self) -> usize {
        match self.tiling {
            Tiling::Stream { tokens, .. } | Tiling::Tile { tokens, .. } => tokens,
        }
    }

    /// Of 16 weight rows, that a block of `gemm_tile` or a strip of `gemm_stream` has.
    fn tiles_of_block(&self) -> usize {
        match self.tiling {
            Tiling::Stream { tiles, .. } => tiles,
            Tiling::Tile {
                tiles,
                groups,
                warps,
                ..
            } => warps / groups * tiles,
        }
    }

    fn num_stream_blocks(&self, device: &Device, n: usize) -> usize {
        let Tiling::Stream {
            tiles,
            blocks_per_sm,
            ..
        } = self.tiling
        else {
            return 0;
        };
        let strips = (n / TILE_ROWS).div_ceil(tiles);
        let a_range = (device.num_sms() as usize * blocks_per_sm / self.splits).max(1);
        a_range.min(strips) * self.splits
    }

    fn shared_bytes(&self, m: usize, k: usize) -> usize {
        match self.tiling {
            Tiling::Stream {
                tokens,
                tiles,
                stages,
                ..
            } => {
                let ring = STREAM_SHARES * stages * tiles * TILE_BYTES;
                let sums = 2 * STREAM_SHARES * tokens * (tiles * TILE_ROWS + 4) * 4;
                let chunks = (k / CHUNK).div_ceil(self.splits);
                ring + sums + m * (chunks * TOKEN_BYTES + 16)
            }
            Tiling::Tile { tokens, stages, .. } => {
                let tiles = self.tiles_of_block();
                let ring = 2 * stages * (tiles * TILE_BYTES + tokens * TOKEN_BYTES);
                let sums = 2 * tokens * (tiles * TILE_ROWS + 4) * 4;
                ring.max(sums)
            }
        }
    }

    fn kernel(&self) -> String {
        match self.tiling {
            Tiling::Stream {
                tokens,
                tiles,
                stages,
                ..
            } => format!("gemm_stream_{tokens}_{tiles}_{stages}"),
            Tiling::Tile {
                tokens,
                tiles,
                groups,
                ..
            } => format!("gemm_tile_{tokens}_{tiles}_{groups}"),
        }
    }

    fn dispatch(&self, device: &Device, m: usize, n: usize, k: usize) -> Dispatch {
        let (grid, threads) = match self.tiling {
            Tiling::Stream { .. } => (
                [self.num_stream_blocks(device, n) as u32, 1, 1],
                STREAM_THREADS,
            ),
            Tiling::Tile { warps, .. } => {
                let blocks = (n / TILE_ROWS).div_ceil(self.tiles_of_block());
                ([blocks as u32, self.splits as u32, 1], warps * 64)
            }
        };
        Dispatch {
            grid,
            threads: threads as u32,
            shared_bytes: self.shared_bytes(m, k) as u32,
            overlaps: true,
        }
    }
}

const fn stream(tokens: usize, tiles: usize, stages: usize) -> Tiling {
    Tiling::Stream {
        tokens,
        tiles,
        stages,
        blocks_per_sm: 1,
    }
}

const fn tile(tokens: usize, tiles: usize, groups: usize, warps: usize, stages: usize) -> Tiling {
    Tiling::Tile {
        tokens,
        tiles,
        groups,
        warps,
        stages,
    }
}

impl SkinnyGemm {
    /// Room for products with weights of these shapes (N, K).
    pub fn new(device: &Device, shapes: &[(usize, usize)]) -> Result<Self, CudaError> {
        let splits = |&(n, k): &(usize, usize)| num_splits(n, k);
        Self::with_splits(device, shapes, splits)
    }

    /// As [`SkinnyGemm::new`], for plans with other splits.
    pub fn with_splits(
        device: &Device,
        shapes: &[(usize, usize)],
        splits: impl Fn(&(usize, usize)) -> usize,
    ) -> Result<Self, CudaError> {
        let split = || {
            shapes
                .iter()
                .map(|shape| (shape.0, splits(shape)))
                .filter(|&(_, splits)| splits > 1)
        };
        let partials = split().map(|(n, splits)| splits * n * MAX_ROWS).max();
        let arrivals = split().map(|(n, _)| n / TILE_ROWS).max();
        Ok(Self {
            partials: device.zeros("partial sums of matrix products", partials.unwrap_or(0))?,
            arrivals: device.zeros("counters of matrix products", arrivals.unwrap_or(0))?,
        })
    }

    /// Bytes on the device that [`SkinnyGemm::new`] takes for these shapes.
    pub fn byte_len(shapes: &[(usize, usize)]) -> usize {
        let partials = shapes
            .iter()
            .map(|&(n, k)| num_splits(n, k) * n * MAX_ROWS)
            .max()
            .unwrap_or(0);
        let arrivals = shapes
            .iter()
            .map(|&(n, _)| n / TILE_ROWS)
            .max()
            .unwrap_or(0);
        4 * (partials + arrivals)
    }

    /// Computes x · Wᵀ for the first `num_rows` rows of x, and what `epilogue` says of it.
    ///
    /// # Panics
    /// If a view is too short for the shape, or the shape is none that was given to [`SkinnyGemm::new`].
    pub fn launch(
        &self,
        device: &Device,
        weight: &Weight<'_>,
        x: View<'_, bf16>,
        num_rows: usize,
        scale: Option<RowScale<'_>>,
        epilogue: Epilogue<'_>,
    ) -> Result<(), CudaError> {
        let plan = Plan::of(device, num_rows, weight.num_rows, weight.num_cols);
        self.launch_as(plan, device, weight, x, num_rows, scale, epilogue)
    }

    /// As [`SkinnyGemm::launch`], with a plan of the caller's.
    #[allow(
        unsafe_code,
        clippy::too_many_arguments,
        reason = "launches a kernel; the operands are the op's own"
    )]
    pub fn launch_as(
        &self,
        plan: Plan,
        device: &Device,
        weight: &Weight<'_>,
        x: View<'_, bf16>,
        num_rows: usize,
        scale: Option<RowScale<'_>>,
        epilogue: Epilogue<'_>,
    ) -> Result<(), CudaError> {
        let (m, n, k) = (num_rows, weight.num_rows, weight.num_cols);
        assert!((1..=MAX_ROWS).contains(&m), "1 to {MAX_ROWS} rows, not {m}");
        assert!(
            n > 0 && n.is_multiple_of(TILE_ROWS),
            "{n} outputs are no multiple of {TILE_ROWS}"
        );
        assert!(
            k > 0 && k.is_multiple_of(CHUNK),
            "{k} inputs are no multiple of {CHUNK}"
        );
        assert!(n < 1 << 24 && k < 1 << 24, "a weight of {n} x {k}");
        assert_eq!(weight.view.len(), n * k, "a weight of {n} x {k}");
        assert!(x.len() >= m * k, "x has {m} rows of {k}");
        assert!(
            (weight.view.ptr() | x.ptr()).is_multiple_of(16),
            "rows are read 16 bytes at a time"
        );
        if let Some(scale) = &scale {
            assert!(
                scale.sums.len() >= m * (k / COLUMNS_PER_SUM),
                "a sum for every {COLUMNS_PER_SUM} of {m} x {k}"
            );
            assert!(
                scale.sums.ptr().is_multiple_of(16),
                "sums are read 16 bytes at a time"
            );
        }
        assert!(plan.is_possible(device, m, n, k), "{plan:?} for {m} rows");
        if plan.splits > 1 {
            assert!(
                self.partials.len() >= plan.splits * n * m && self.arrivals.len() >= n / TILE_ROWS,
                "the workspace was made without a weight of {n} x {k}"
            );
        }
        let none = (0, 0, 0);
        let (code, out, (residual, norm_weight, sums_out)) = match epilogue {
            Epilogue::Store { out } => {
                assert!(out.len() >= m * n, "an output of {m} x {n}");
                (0, out.ptr(), none)
            }
            Epilogue::Residual {
                residual,
                norm_weight,
                out,
                sums_out,
            } => {
                assert!(
                    out.len() >= m * n && residual.len() >= m * n,
                    "a residual and an output of {m} x {n}"
                );
                assert_eq!(norm_weight.len(), n, "a norm over {n}");
                assert!(
                    sums_out.len() >= m * (n / COLUMNS_PER_SUM),
                    "a sum for every {COLUMNS_PER_SUM} of {m} x {n}"
                );
                let others = (residual.ptr(), norm_weight.ptr(), sums_out.ptr());
                (1, out.ptr(), others)
            }
            Epilogue::SiluMul { out } => {
                assert!(out.len() >= m * n / 2, "an output of {m} x {}", n / 2);
                (2, out.ptr(), none)
            }
            Epilogue::Logits { out } => {
                assert!(out.len() >= m * n, "an output of {m} x {n}");
                (3, out.ptr(), none)
            }
        };
        let stages = match plan.tiling {
            Tiling::Stream { stages, .. } | Tiling::Tile { stages, .. } => stages,
        };
        let args = GemmArgs {
            w: weight.view.ptr(),
            x: x.ptr(),
            sums: scale.map_or(0, |scale| scale.sums.ptr()),
            out,
            residual,
            norm_weight,
            sums_out,
            partials: self.partials.view().ptr(),
            arrivals: self.arrivals.view().ptr(),
            m: m as i32,
            n: n as i32,
            k: k as i32,
            epilogue: code,
            splits: plan.splits as i32,
            stages: stages as i32,
            inv_k: 1.0 / k as f32,
            eps: scale.map_or(0.0, |scale| scale.eps),
        };
        let kernel = device.kernel(&plan.kernel())?;
        let dispatch = plan.dispatch(device, m, n, k);
        // SAFETY: `GemmArgs` is laid out as in gemm.cuh; the views' lengths, the alignment, the workspace and the shared memory were
        // checked above against what the kernel touches for this shape and plan.
        unsafe { device.launch(&kernel, dispatch, &args) }
    }
}
