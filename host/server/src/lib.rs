#![doc = include_str!("../README.md")]

mod admin;
mod app;
mod auth;
mod body;
mod constraint;
mod cors;
mod embed;
mod error;
mod functions;
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
mod tokenize;

pub use admin::{Admin, LoadPlugins};
pub use app::{App, Model, Settings};
pub use auth::ApiKeys;
pub use body::Body;
pub use functions::{BuiltinFunction, Functions};
pub use listen::serve;
pub use sampling::SamplingDefaults;
