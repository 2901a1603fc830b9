#![doc = include_str!("../README.md")]

mod chat;
mod config;
pub mod cuda;
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
pub use runner::{CpuRunner, Input, Positions};
pub use tokenizer::{GgufVocab, TokenizerSource};

/// The instruction set that the CPU runner uses here.
pub fn instruction_set() -> &'static str {
    kernels::Isa::detect().name()
}
