//! y = x · Wᵀ for up to 64 rows of x, near memory bandwidth: the matrix products of a decode step.
//!
//! A row of the result has the same bits whatever the number of rows and whatever the others hold: the order of summation depends
//! on the weight's shape only (`cuda/gemm.cuh` says which it is). RMSNorm is folded in: the product before writes x times the norm's
//! weight and its sums of squares ([`Epilogue::Residual`]), this one scales its result by the row's factor ([`RowScale`]).

use std::collections::HashMap;

use half::bf16;

use super::{Buffer, CudaError, Device, View};

mod plan;
pub mod timing;

use plan::{CHUNK, TILE_ROWS};
pub use plan::{Card, Plan, Tiling, num_splits};

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

/// Launches the products, and owns what those that split K meet in.
pub struct SkinnyGemm {
    partials: Buffer<f32>,
    arrivals: Buffer<u32>,
    /// Other tilings than the table's for weights of these shapes (N, K).
    preferred: HashMap<(usize, usize), Tiling>,
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

impl SkinnyGemm {
    /// Room for products with weights of these shapes (N, K).
    pub fn new(device: &Device, shapes: &[(usize, usize)]) -> Result<Self, CudaError> {
        Self::with_splits(device, shapes, num_splits)
    }

    /// As [`SkinnyGemm::new`], for plans with other splits.
    pub fn with_splits(
        device: &Device,
        shapes: &[(usize, usize)],
        splits: impl Fn(usize, usize) -> usize,
    ) -> Result<Self, CudaError> {
        let (num_partials, num_arrivals) = room(shapes, splits);
        Ok(Self {
            partials: device.zeros("partial sums of matrix products", num_partials)?,
            arrivals: device.zeros("counters of matrix products", num_arrivals)?,
            preferred: HashMap::new(),
        })
    }

    /// Bytes on the device that [`SkinnyGemm::new`] takes for these shapes.
    pub fn byte_len(shapes: &[(usize, usize)]) -> usize {
        let (num_partials, num_arrivals) = room(shapes, num_splits);
        size_of::<f32>() * num_partials + size_of::<u32>() * num_arrivals
    }

    /// From now on computes products with weights of this shape (N, K) by another tiling than the table's, or by the table's again. For
    /// whoever looks for a better table; the tiling must be possible for the numbers of rows that come.
    pub fn prefer(&mut self, shape: (usize, usize), tiling: Option<Tiling>) {
        match tiling {
            Some(tiling) => self.preferred.insert(shape, tiling),
            None => self.preferred.remove(&shape),
        };
    }

    /// Computes x · Wᵀ for the first `num_rows` rows of x, and what `epilogue` says of it. Outputs must not overlap x or the sums,
    /// which other blocks may still read.
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
        let (n, k) = (weight.num_rows, weight.num_cols);
        let mut plan = Plan::of(device.into(), num_rows, n, k);
        if let Some(tiling) = self.preferred.get(&(n, k)) {
            plan.tiling = *tiling;
        }
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
        let card = Card::from(device);
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
        assert!(plan.is_possible(card, m, n, k), "{plan:?} for {m} rows");
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
            stages: plan.tiling.stages() as i32,
            inv_k: 1.0 / k as f32,
            eps: scale.map_or(0.0, |scale| scale.eps),
        };
        let (module, name) = plan.kernel();
        let kernel = device.kernel(module, &name)?;
        let dispatch = plan.dispatch(card, m, n, k);
        // SAFETY: `GemmArgs` is laid out as in gemm.cuh; the views' lengths, the alignment, the workspace and the shared memory were
        // checked above against what the kernel touches for this shape and plan.
        unsafe { device.launch(&kernel, dispatch, &args) }
    }
}

/// The most partial sums and counters that a product with weights of one of these shapes (N, K) uses; without splits there are none.
fn room(shapes: &[(usize, usize)], splits: impl Fn(usize, usize) -> usize) -> (usize, usize) {
    let split = || {
        shapes
            .iter()
            .map(|&(n, k)| (n, splits(n, k)))
            .filter(|&(_, splits)| splits > 1)
    };
    let num_partials = split().map(|(n, splits)| splits * n * MAX_ROWS).max();
    let num_arrivals = split().map(|(n, _)| n / TILE_ROWS).max();
    (num_partials.unwrap_or(0), num_arrivals.unwrap_or(0))
}
