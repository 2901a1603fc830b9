//! Write a plugin for the host in Rust: one trait per role, one macro.
//!
//! For authors of routers, shapers, chat templates and functions. A plugin implements the trait of its role for a type of its own
//! and names that type in [`register!`]; the component model's bindings stay in here. On a native target the same code
//! compiles with [`mock`] in the host's place, so a plugin's unit tests run under plain `cargo test`. This crate knows the
//! contract in `wit/`, and nothing of the host or of any particular plugin.
//!
//! ```
//! use plugin_sdk::{ApiError, Caller, InferenceRequest, Shaper};
//!
//! struct OneSample;
//!
//! impl Shaper for OneSample {
//!     fn shape(mut request: InferenceRequest, _: Caller) -> Result<InferenceRequest, ApiError> {
//!         request.n = 1;
//!         Ok(request)
//!     }
//! }
//!
//! plugin_sdk::register!(shaper: OneSample);
//! ```

#[doc(hidden)]
pub mod bindings;
pub mod chat_template;
pub mod clock;
pub mod config;
mod construct;
mod error;
pub mod function;
pub mod inference;
pub mod key_value;
pub mod log;
#[cfg(not(target_arch = "wasm32"))]
pub mod mock;
pub mod random;
mod register;
pub mod router;
pub mod shaper;

pub use bindings::{
    chat_template::exports::lm::plugin::templating::{ModelTemplate, Prompt},
    router::exports::lm::plugin::routing::{ModelCard, Request, Response, Route, ServerInfo, Task},
    shaper::exports::lm::plugin::shaping::Caller,
    shared::lm::plugin::inference::Embeddings,
    shared::lm::plugin::types::{
        ApiError, ChoiceDelta, ChoiceFinish, ChoiceLogprobs, Constraint, Conversation, Delta,
        Embedding, EmbeddingRequest, Event, FinishReason, Header, InferenceRequest, Input, Json,
        Message, Pooling, PositionLogprobs, PromptReport, PromptToken, Sampling, TokenLogprob,
        TokenizeRequest, Tool, ToolCall, ToolCallArguments, ToolCallStart, ToolChoice, Usage,
    },
};
pub use chat_template::{ChatTemplate, OutputParser};
pub use function::Function;
pub use router::{Outcome, Reply, Router};
pub use shaper::Shaper;
