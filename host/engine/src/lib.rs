//! Token-in, token-out inference core: it decides which sequences run in each step, who owns which block of the key/value
//! cache, and how the next token is chosen. For whoever embeds an engine behind a server. It must not know HTTP, Wasm,
//! CUDA or text.
//!
//! Read [`step`] first: it is the heartbeat. A request goes [`handle`] → [`scheduler`] → [`runner`] → back through the
//! request's own channel.

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
