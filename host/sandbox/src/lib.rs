//! Runs plugins: WebAssembly components that speak a client's protocol (`Router`), change or refuse requests (`Shaper`), write
//! prompts (`Template`), each behind the WIT package `lm:plugin`, or answer HTTP requests by themselves (`Function`).
//!
//! For the server, which calls plugins as typed async functions and gets either a value or a [`PluginError`] that names
//! plugin, phase and limit. A guest can waste its own time and memory and nothing else: imports only as granted, a fresh
//! instance per request, and every value it returns is checked. This crate must not know the server or the engine; of HTTP it
//! knows the types that functions are called with.
//!
//! ```no_run
//! # async fn example(wasm: Vec<u8>, request: sandbox::InferenceRequest, caller: sandbox::Caller) -> Result<(), Box<dyn std::error::Error>> {
//! use sandbox::{AotCache, Limits, Loader, PluginSpec, Sandbox};
//!
//! let sandbox = Sandbox::new(Limits::default(), Limits::for_functions(), None)?;
//! let loader = Loader::new(sandbox, Some(AotCache::open("/var/cache/host/plugins")?));
//! let shaper = loader.load_shaper(PluginSpec::named("request-shaper"), wasm).await?;
//! match shaper.shape(&request, &caller).await? {
//!     Ok(shaped) => println!("run {shaped:?}"),
//!     Err(refusal) => println!("refused with {}: {}", refusal.status, refusal.message),
//! }
//! # Ok(())
//! # }
//! ```

mod bindings;
mod counters;
mod error;
mod function;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guest;
mod instance;
mod key_value;
mod limits;
mod loader;
mod logs;
mod plugin;
mod registry;
mod router;
mod sandbox;
mod shaper;
mod template;
mod untrusted;

pub use artifact::{Capability, ConfigError, HostPattern, NotAHostPattern, Role};
pub use bindings::inference::Embeddings;
pub use bindings::routing::{ModelCard, Request, Response, Route, ServerInfo, Task};
pub use bindings::shaping::Caller;
pub use bindings::templating::{ModelTemplate, Prompt};
pub use bindings::types::{
    ApiError, ChoiceDelta, ChoiceFinish, ChoiceLogprobs, Constraint, Conversation, Delta,
    Embedding, EmbeddingRequest, Event, FinishReason, Header, InferenceRequest, Input, Message,
    Pooling, PositionLogprobs, PromptReport, PromptToken, Sampling, TokenLogprob, TokenizeRequest,
    Tool, ToolCall, ToolCallArguments, ToolCallStart, ToolChoice, Usage,
};
pub use counters::{CALL_TIME_BOUNDS, FaultStats, PhaseStats, PluginStats};
pub use error::{Fault, Phase, PluginError, SandboxError};
pub use function::{Function, FunctionBody, FunctionFailed, Generation, Model, Visit};
pub use key_value::KeyValueStore;
pub use limits::Limits;
pub use loader::{AotCache, Loader};
pub use logs::{LogBook, LogLevel, LogLine};
pub use plugin::{Origin, Plugin, PluginInfo, PluginLimits, PluginSpec};
pub use registry::{Current, PluginSet, Registry};
pub use router::{Job, Outcome, Reply, Router};
pub use sandbox::Sandbox;
pub use shaper::Shaper;
pub use template::{Parser, Template, TemplateInstance};
