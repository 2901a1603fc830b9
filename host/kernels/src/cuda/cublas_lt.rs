//! Matrix products of many rows, by cuBLASLt.

use std::{
    collections::HashMap,
    ffi::c_void,
    sync::{Arc, Mutex},
};

use cudarc::cublaslt::{result, sys};
use half::bf16;

use super::{Buffer, CudaError, Device, Libraries, View, gemm::Weight};

/// For split-K and other algorithms that need room.
const WORKSPACE_BYTES: usize = 64 << 20;

/// How many answers of the heuristic are looked at.
const NUM_CANDIDATES: usize = 16;

/// How an algorithm is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    /// Rows of prompts: one algorithm for a weight, without split K, whatever the number of rows. So a row's result does not depend on
    /// the rows beside it, nor on how a prompt was cut. This one is the best for a few hundred rows.
    ShortPrompts,
    /// The same, with the best for thousands.
    LongPrompts,
    /// The heuristic's answer for this number of rows.
    Batch,
}

impl Rows {
    /// The number of rows that the algorithm is the best for, if it is the same for all numbers.
    fn typical(self) -> Option<usize> {
        match self {
            Self::ShortPrompts => Some(256),
            Self::LongPrompts => Some(2048),
            Self::Batch => None,
        }
    }
}

/// What becomes of the product.
#[derive(Clone, Copy, Debug)]
pub enum Output<'a> {
    /// `[M][N]`
    Store(View<'a, bf16>),
    /// `[M][N]`, the product is added to it.
    Add(View<'a, f32>),
    /// `[M][N]`
    Logits(View<'a, f32>),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Shape {
    m: usize,
    n: usize,
    k: usize,
    output: sys::cudaDataType_t,
    rows: Rows,
}

/// `y[M,N] = x[M,K] W[N,K]^T` for any M, bf16 with fp32 accumulation. A plan is made at the first product of a shape, and kept.
pub struct LtMatmul {
    handle: sys::cublasLtHandle_t,
    workspace: Buffer<u8>,
    plans: Mutex<HashMap<Shape, Arc<Plan>>>,
}

// SAFETY: the handle may be used by any thread, one at a time; a runner owns this.
#[allow(unsafe_code, reason = "a handle of a C library")]
unsafe impl Send for LtMatmul {}

impl LtMatmul {
    /// Opens the library.
    pub fn new(device: &Device) -> Result<Self, CudaError> {
        if !Libraries::find().cublas_lt {
            return Err(CudaError::MissingLibrary {
                name: "libcublasLt.so.13",
                purpose: "matrix products of prompts",
                remedy: "`pip install nvidia-cublas==13.0.2.14` and set HOST_CUDA_LIBRARIES to its nvidia/cu13/lib, or install CUDA 13",
            });
        }
        let workspace = device.zeros("cuBLASLt's workspace", WORKSPACE_BYTES)?;
        Ok(Self {
            handle: result::create_handle()?,
            workspace,
            plans: Mutex::default(),
        })
    }

    /// Device memory that this takes, in bytes.
    pub const fn byte_len() -> usize {
        WORKSPACE_BYTES
    }

    /// Launches the product of `num_rows` rows of `x`.
    #[allow(unsafe_code, reason = "launches a library's kernel")]
    pub fn launch(
        &self,
        device: &Device,
        weight: &Weight<'_>,
        x: View<'_, bf16>,
        num_rows: usize,
        rows: Rows,
        output: Output<'_>,
    ) -> Result<(), CudaError> {
        let (n, k) = (weight.num_rows, weight.num_cols);
        let (len, to, output_type) = match output {
            Output::Store(to) => (to.len(), to.ptr(), sys::cudaDataType_t::CUDA_R_16BF),
            Output::Add(to) | Output::Logits(to) => {
                (to.len(), to.ptr(), sys::cudaDataType_t::CUDA_R_32F)
            }
        };
        assert!(
            weight.view.len() == n * k && x.len() >= num_rows * k && len >= num_rows * n,
            "shapes of a matrix product"
        );
        let plan = self.plan(Shape {
            m: num_rows,
            n,
            k,
            output: output_type,
            rows,
        })?;
        let (one, beta) = (
            1f32,
            if matches!(output, Output::Add(_)) {
                1f32
            } else {
                0f32
            },
        );
        // SAFETY: the plan's layouts are of these lengths, which were checked; the workspace is its own.
        unsafe {
            result::matmul(
                self.handle,
                plan.product,
                (&raw const one).cast(),
                (&raw const beta).cast(),
                weight.view.ptr() as *const c_void,
                plan.weight,
                x.ptr() as *const c_void,
                plan.x,
                to as *const c_void,
                plan.y,
                to as *mut c_void,
                plan.y,
                &plan.algorithm,
                self.workspace.view().ptr() as *mut c_void,
                WORKSPACE_BYTES,
                device.raw_stream().cast(),
            )?;
        }
        Ok(())
    }

    fn plan(&self, shape: Shape) -> Result<Arc<Plan>, CudaError> {
        let mut plans = self.plans.lock().expect("nobody panics while planning");
        if let Some(plan) = plans.get(&shape) {
            return Ok(plan.clone());
        }
        let typical = shape.rows.typical().map(|m| Shape { m, ..shape });
        let algorithm = match typical {
            Some(typical) if typical != shape => {
                let plan = match plans.get(&typical) {
                    Some(plan) => plan.clone(),
                    None => plans
                        .entry(typical)
                        .or_insert(Arc::new(Plan::new(self.handle, typical, None)?))
                        .clone(),
                };
                Some(plan.algorithm)
            }
            Some(_) | None => None,
        };
        let plan = Plan::new(self.handle, shape, algorithm)?;
        Ok(plans.entry(shape).or_insert(Arc::new(plan)).clone())
    }
}

impl Drop for LtMatmul {
    #[allow(unsafe_code, reason = "closes a C library's handle")]
    fn drop(&mut self) {
        self.plans
            .get_mut()
            .expect("nobody panics while planning")
            .clear();
        // SAFETY: created by `new`, not used again.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

/// One shape's descriptors and algorithm.
struct Plan {
    product: sys::cublasLtMatmulDesc_t,
    weight: sys::cublasLtMatrixLayout_t,
    x: sys::cublasLtMatrixLayout_t,
    y: sys::cublasLtMatrixLayout_t,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

impl Plan {
    /// cuBLAS counts in columns: Y (n x m) = W^T (n x k) X (k x m).
    #[allow(unsafe_code, reason = "calls a C library")]
    fn new(
        handle: sys::cublasLtHandle_t,
        shape: Shape,
        algorithm: Option<sys::cublasLtMatmulAlgo_t>,
    ) -> Result<Self, CudaError> {
        let Shape {
            m,
            n,
            k,
            output,
            rows: _,
        } = shape;
        let input = sys::cudaDataType_t::CUDA_R_16BF;
        let transpose = 1i32;
        // SAFETY: descriptors are made before they are used; attributes are passed with their true size.
        unsafe {
            let product = result::create_matmul_desc(
                sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                sys::cudaDataType_t::CUDA_R_32F,
            )?;
            result::set_matmul_desc_attribute(
                product,
                sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA,
                (&raw const transpose).cast(),
                4,
            )?;
            let weight = result::create_matrix_layout(input, k as u64, n as u64, k as i64)?;
            let x = result::create_matrix_layout(input, k as u64, m as u64, k as i64)?;
            let y = result::create_matrix_layout(output, n as u64, m as u64, n as i64)?;
            let algorithm = match algorithm {
                Some(algorithm) => algorithm,
                None => ask(handle, shape, product, [weight, x, y])?,
            };
            Ok(Self {
                product,
                weight,
                x,
                y,
                algorithm,
            })
        }
    }
}

impl Drop for Plan {
    #[allow(unsafe_code, reason = "frees a C library's descriptors")]
    fn drop(&mut self) {
        // SAFETY: made by `new`, each once.
        unsafe {
            let _ = result::destroy_matmul_desc(self.product);
            for layout in [self.weight, self.x, self.y] {
                let _ = result::destroy_matrix_layout(layout);
            }
        }
    }
}

/// The heuristic's best answer that fits.
///
/// # Safety
/// The descriptors are valid, and those of `shape`; the layouts are of weight, x and y.
#[allow(unsafe_code, reason = "calls a C library")]
unsafe fn ask(
    handle: sys::cublasLtHandle_t,
    shape: Shape,
    product: sys::cublasLtMatmulDesc_t,
    [weight, x, y]: [sys::cublasLtMatrixLayout_t; 3],
) -> Result<sys::cublasLtMatmulAlgo_t, CudaError> {
    let workspace_bytes = WORKSPACE_BYTES;
    // SAFETY: the caller's promise; the attribute is passed with its true size, and at most as many answers are written as fit.
    let (asked, answers, count) = unsafe {
        let preference = result::create_matmul_pref()?;
        result::set_matmul_pref_attribute(
            preference,
            sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
            (&raw const workspace_bytes).cast(),
            size_of::<usize>(),
        )?;
        let mut answers: [sys::cublasLtMatmulHeuristicResult_t; NUM_CANDIDATES] =
            std::mem::zeroed();
        let mut count = 0;
        let asked = sys::cublasLtMatmulAlgoGetHeuristic(
            handle,
            product,
            weight,
            x,
            y,
            y,
            preference,
            NUM_CANDIDATES as i32,
            answers.as_mut_ptr(),
            &mut count,
        );
        result::destroy_matmul_pref(preference)?;
        (asked, answers, count as usize)
    };
    asked.result()?;
    let fits = |answer: &&sys::cublasLtMatmulHeuristicResult_t| {
        shape.rows == Rows::Batch || !splits_k(&answer.algo)
    };
    let answers = &answers[..count];
    let Some(answer) = answers.iter().find(fits).or(answers.first()) else {
        let Shape { m, n, k, .. } = shape;
        return Err(CudaError::Driver(format!(
            "cuBLASLt knows no algorithm for {m} x {n} x {k}"
        )));
    };
    Ok(answer.algo)
}

// SAFETY: descriptors are read-only once made.
#[allow(unsafe_code, reason = "handles of a C library")]
unsafe impl Send for Plan {}
// SAFETY: the same.
#[allow(unsafe_code, reason = "handles of a C library")]
unsafe impl Sync for Plan {}

/// Whether the algorithm adds up partial sums of K, in an order of its own.
#[allow(unsafe_code, reason = "asks a C library")]
fn splits_k(algorithm: &sys::cublasLtMatmulAlgo_t) -> bool {
    let mut splits = 0i32;
    let mut written = 0;
    // SAFETY: writes one i32.
    let asked = unsafe {
        sys::cublasLtMatmulAlgoConfigGetAttribute(
            algorithm,
            sys::cublasLtMatmulAlgoConfigAttributes_t::CUBLASLT_ALGO_CONFIG_SPLITK_NUM,
            (&raw mut splits).cast::<c_void>(),
            size_of::<i32>(),
            &mut written,
        )
    };
    asked != sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS || splits > 1
}
