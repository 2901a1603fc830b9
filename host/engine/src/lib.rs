#![doc = include_str!("../README.md")]

pub mod block;
pub mod compute_thread;
pub mod constraint;
pub mod draft;
pub mod fake;
pub mod handle;
pub mod place;
mod random;
pub mod request;
pub mod runner;
pub mod sampling;
pub mod scheduler;
pub mod sequence;
pub mod stats;
pub mod step;
mod sync;
pub mod token_pool;

pub use block::{CacheScope, Caching, KvEvent};
pub use compute_thread::ComputeThread;
pub use handle::{Embedding, EngineHandle, Generation};
pub use request::{
    EmbeddingRequest, EngineConfig, Event, FinishReason, GenerationFailed, Overlap, Pooling,
    Request, Scheduling, SubmitError,
};
pub use runner::{ModelRunner, RunnerLimits, TokenId};
pub use sampling::{ChosenToken, InvalidParam, SamplingParams};
