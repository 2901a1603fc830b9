#![doc = include_str!("../README.md")]

mod digest;
mod terms;

pub use digest::{Digest, NotADigest};
pub use terms::{Capability, Role};
