//! Model files and the runners that execute a step on them.
//!
//! For the binary, which opens a model and hands its runner to the engine and its vocabulary and template to others. Reads
//! safetensors folders and GGUF files; knows nothing of requests, HTTP or plugins.

mod chat;
mod config;
mod decoder;
pub mod demo;
mod error;
mod files;
mod memory;
mod open;
mod runner;
mod tokenizer;
mod weights;

pub use chat::{ChatFiles, GenerationDefaults};
pub use config::{Architecture, Biases, ModelConfig};
pub use error::LoadError;
pub use files::ModelFiles;
pub use open::{KvMemory, LoadFormat, LoadedModel, OpenOptions, open};
pub use runner::{CpuRunner, Positions};
pub use tokenizer::{GgufVocab, TokenizerSource};
