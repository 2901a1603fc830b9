//! The HTTP server: it accepts connections, takes each request through the plugins to the engine and streams the answer
//! back. For the binary, which gives it a model, plugins and an engine. It must not know what a protocol's JSON looks like
//! (routers do), how a model computes, or which files anything came from.
//!
//! Read `pipeline.rs` first: it is the request path from top to bottom.

mod app;
mod auth;
mod body;
mod cors;
mod error;
mod generating;
mod health;
mod listen;
mod metrics;
mod pipeline;
mod prompt;
mod reply;
mod request_id;
mod routes;
mod sampling;

pub use app::{App, Model, Settings};
pub use auth::ApiKeys;
pub use body::Body;
pub use listen::serve;
pub use sampling::SamplingDefaults;
