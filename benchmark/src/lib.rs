#![doc = include_str!("../README.md")]

mod args;
mod body;
mod chunk;
mod client;
mod error;
mod measurement;
mod progress;
mod prompts;
mod report;
mod run;
mod sse;
mod stats;
mod timestamp;

pub use args::{BenchmarkArgs, Endpoint};
pub use error::Error;
pub use report::{Report, RequestRecord};
pub use run::{measure, run};
pub use sse::SseParser;
