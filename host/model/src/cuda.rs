//! The GPU's `ModelRunner`.
//!
//! A step is two passes over the weights at most. Rows of one token that is to be followed by another are the decode batch: a CUDA
//! graph of fixed shape, whose result for a row does not depend on the rows beside it. Everything else (prompts, their
//! chunks, guesses) is the extend batch: ragged, launched kernel by kernel. Tokens are chosen on the device and stay there for the
//! next step; the host reads them one step late.

mod forward;
mod graphs;
mod inputs;
mod load;
mod memory;
mod open;
mod runner;
mod scratch;
mod slots;
mod tune;
mod weights;

pub use memory::MemoryPlan;
pub use open::{OpenError, Summary, check_support, is_present, open};
pub use runner::CudaRunner;
pub use tune::Tuned;
