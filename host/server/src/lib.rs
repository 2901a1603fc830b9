#![doc = include_str!("../README.md")]

mod access;
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
mod rate_limit;
mod reply;
mod request_id;
mod routes;
mod sampling;
mod tls;
mod tokenize;
mod trace;

pub use admin::{Admin, LoadPlugins};
pub use app::{App, Model, Settings};
pub use auth::{ApiKey, ApiKeys, KeyName, KeysError, NotAKeyName, ShaperSettings};
pub use body::Body;
pub use cors::{AllowedOrigins, NotOrigins};
pub use functions::{BuiltinFunction, Functions};
pub use listen::{ConnectionLimits, Listener, serve};
pub use rate_limit::Rates;
pub use sampling::SamplingDefaults;
pub use tls::{Tls, TlsError};
