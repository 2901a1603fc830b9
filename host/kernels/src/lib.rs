#![doc = include_str!("../README.md")]
#![allow(
    clippy::needless_range_loop,
    reason = "a lane or row index walks several arrays at once"
)]

mod activation;
mod attention;
mod cpu;
pub mod cuda;
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
