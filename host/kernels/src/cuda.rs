//! The same ops on an NVIDIA GPU: bf16 in and out, fp32 in between.
//!
//! One CUDA C++ file an op in `cuda/`, one Rust file beside it here that checks shapes and launches. Every kernel takes one
//! struct by value, the same on both sides. Nothing here is linked: the driver's library is opened when a device is asked for, so
//! the program starts on a machine that has none.

mod buffer;
pub mod cublas_lt;
pub mod decode_attention;
mod device;
pub mod elementwise;
mod error;
mod event;
pub mod gemm;
mod graph;
mod heads;
mod image;
mod library;
mod nvrtc;
mod pinned;
pub mod prefill_attention;
pub mod sampling;
mod timing;

/// Tokens whose keys and values one page of the cache holds.
pub const PAGE_LEN: usize = 32;

pub use buffer::{Buffer, Plain, View};
pub use device::{Device, Dispatch, Kernel};
pub use error::CudaError;
pub use event::Event;
pub use graph::Graph;
pub use heads::{Heads, QkNorms};
pub use image::KernelSource;
pub use library::{Libraries, Library};
pub use pinned::Pinned;
pub use timing::{Timing, Work};
