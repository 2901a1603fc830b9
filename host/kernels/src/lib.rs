//! Compute kernels of the dense decoder on the CPU, one file an op, each with a plain reference and a fast version.
//!
//! For the runners in the `model` crate. Works on plain slices; knows nothing of files, models, sequences or sampling.
//!
//! Two rules hold for every op. *Rows are independent*: what a row gives does not depend, in any bit, on the rows beside it
//! or on how the work was split over threads. *Machines agree*: every instruction set gives the same bits, because each sum
//! has one fixed order and each multiply-add one rounding.
//!
//! One idea carries all the heavy ops: sixteen outputs lie side by side in the lanes of a vector, inputs are broadcast over
//! them, and nothing is ever summed across lanes. Weights, keys and values are stored so that this is a straight read.
#![allow(
    clippy::needless_range_loop,
    reason = "a lane or row index walks several arrays at once"
)]

mod activation;
mod attention;
mod cpu;
mod embedding;
mod half_float;
mod heads;
mod isa;
mod kv_cache;
mod lanes;
mod linear;
mod matrix;
mod panel;
mod rms_norm;
mod rope;
mod shared_out;
mod silu_mul;
mod team;

pub use attention::{Span, attention};
pub use cpu::Cpu;
pub use embedding::embedding;
pub use heads::HeadColumns;
pub use isa::Isa;
pub use kv_cache::{BLOCK_LEN, KvCache};
pub use linear::{Write, linear};
pub use matrix::{Matrix, PackError};
pub use rms_norm::{rms_norm, rms_norm_heads};
pub use rope::{Pairing, RopeTable, rope};
pub use silu_mul::silu_mul;
pub use team::Team;
