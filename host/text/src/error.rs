use std::path::PathBuf;

/// Why a tokenizer cannot be made, or a text not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is missing, unreadable or no `tokenizer.json`.
    #[error("cannot read the tokenizer {path}: {reason}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the reader of the format said.
        reason: String,
    },
    /// A vocabulary that contradicts itself. The file that it came from is damaged.
    #[error("the vocabulary is damaged: {0}")]
    Vocabulary(String),
    /// A kind of tokenizer that would be read wrongly.
    #[error("{0}")]
    Unsupported(String),
    /// The text is longer than any context; nothing was encoded.
    #[error(
        "the text has {len} bytes, more than the {limit} that are encoded at once; send a shorter one"
    )]
    TooLong {
        /// Length of the text in bytes.
        len: usize,
        /// The most bytes accepted.
        limit: usize,
    },
    /// The system has no room for another thread.
    #[error("no thread could be started to watch over grammars: {0}")]
    Thread(#[source] std::io::Error),
    /// The tokenizer has no token for a part of the text.
    #[error("cannot encode the text: {0}")]
    Encode(String),
}
