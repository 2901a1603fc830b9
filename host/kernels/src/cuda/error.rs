//! Why the GPU cannot be used, or could not do what it was told.

use cudarc::{cublaslt::result::CublasError, driver::DriverError};

/// Why the GPU cannot be used, or could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum CudaError {
    /// There is no driver on this machine.
    #[error("there is no NVIDIA driver: libcuda.so.1 cannot be opened")]
    NoDriver,
    /// There is a driver and no card that it can use.
    #[error("the NVIDIA driver finds no usable GPU: {0}")]
    NoDevice(String),
    /// A card or driver that is too old.
    #[error("{what} is {found}, at least {needed} is needed")]
    TooOld {
        /// Driver or card.
        what: &'static str,
        /// Its version.
        found: String,
        /// The oldest that would do.
        needed: &'static str,
    },
    /// A library is missing.
    #[error("{name} is needed for {purpose} and cannot be opened: {remedy}")]
    MissingLibrary {
        /// Its file name.
        name: &'static str,
        /// What it is for.
        purpose: &'static str,
        /// Where to get it.
        remedy: &'static str,
    },
    /// A kernel could not be compiled here.
    #[error("NVRTC could not compile {module}: {log}")]
    Compile {
        /// The source file.
        module: &'static str,
        /// What the compiler said.
        log: String,
    },
    /// The binary holds no such kernel.
    #[error("there is no kernel {0}")]
    UnknownKernel(String),
    /// A model's shape that no kernel was compiled for.
    #[error("not supported on a GPU: {0}")]
    Unsupported(String),
    /// There is not enough memory for an allocation.
    #[error("the GPU has no room for {what}: {bytes} bytes")]
    OutOfMemory {
        /// What was to be stored.
        what: &'static str,
        /// How much.
        bytes: usize,
    },
    /// The driver reports a fault. After most of these the process has to end.
    #[error("CUDA: {0}")]
    Driver(String),
    /// cuBLASLt reports a fault.
    #[error("cuBLASLt: {0:?}")]
    Blas(#[from] CublasError),
}

impl From<DriverError> for CudaError {
    fn from(error: DriverError) -> Self {
        let name = error.error_name().map_or("unknown error", |name| {
            name.to_str().unwrap_or("unknown error")
        });
        let text = error
            .error_string()
            .map_or("", |text| text.to_str().unwrap_or(""));
        Self::Driver(format!("{name}: {text}"))
    }
}
