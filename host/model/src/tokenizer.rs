//! Where a model's vocabulary is.

use std::path::PathBuf;

/// Where a model's vocabulary is.
#[derive(Clone, Debug)]
pub enum TokenizerSource {
    /// A `tokenizer.json`.
    File(PathBuf),
    /// Inside the GGUF file.
    Gguf(GgufVocab),
}

/// A vocabulary as GGUF metadata has it.
#[derive(Clone, Debug, Default)]
pub struct GgufVocab {
    /// The text of each token, in the byte-to-character spelling of byte-level BPE where `model` is `gpt2`.
    pub tokens: Vec<String>,
    /// For each token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub token_types: Vec<i32>,
    /// The merges of byte-pair encoding, best first: two pieces with a space between.
    pub merges: Vec<String>,
    /// How text is split before merging (`tokenizer.ggml.pre`); empty if the file does not say.
    pub pre: String,
    /// The kind of tokenizer (`tokenizer.ggml.model`): `gpt2`, `llama`, …
    pub model: String,
    /// Whether a prompt begins with the token that begins a sequence.
    pub add_bos: bool,
}
