#![doc = include_str!("../README.md")]

pub mod block;
pub mod fake;
pub mod handle;
pub mod request;
pub mod runner;
pub mod sampling;
pub mod scheduler;
pub mod sequence;
pub mod stats;
pub mod step;

pub use handle::{EngineHandle, Generation};
pub use request::{EngineConfig, Event, FinishReason, GenerationFailed, Request, SubmitError};
pub use runner::{ModelRunner, RunnerLimits, TokenId};
pub use sampling::SamplingParams;
