//! Token-in, token-out inference core: it decides which sequences run in each step, who owns which block of the key/value
//! cache, and how the next token is chosen. For whoever embeds an engine behind a server. It must not know HTTP, Wasm,
//! CUDA or text.

pub mod runner;
pub mod sampling;
