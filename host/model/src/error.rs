//! Why a model cannot be loaded, and how to mend it.

use std::path::{Path, PathBuf};

/// Why a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is missing that this kind of model has.
    #[error("{path} is not there: a model folder needs {needed}")]
    Missing {
        /// The file looked for.
        path: PathBuf,
        /// What there should be.
        needed: &'static str,
    },
    /// A file is not what its name says.
    #[error("{path}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The model asks for something that this program cannot do.
    #[error("{path}: {key} = {value} is not supported; supported: {supported}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The key in it.
        key: String,
        /// Its value.
        value: String,
        /// What would do.
        supported: &'static str,
    },
    /// A weight is missing.
    #[error("{path}: tensor {name} is missing")]
    MissingTensor {
        /// The file or folder.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A weight has another shape than the config says.
    #[error("{path}: tensor {name} has shape {found:?}, the config asks for {expected:?}")]
    WrongShape {
        /// The file or folder.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The file's shape.
        found: Vec<usize>,
        /// The config's shape.
        expected: Vec<usize>,
    },
    /// The key/value cache cannot hold one sequence of the length asked for.
    #[error(
        "a sequence of {max_model_len} tokens needs {needed_mib} MiB of key/value cache, there are {given_mib} MiB: \
         give the cache more memory or lower the maximum model length to {possible_len}"
    )]
    CacheTooSmall {
        /// The length asked for, in tokens.
        max_model_len: usize,
        /// MiB that such a sequence needs.
        needed_mib: u64,
        /// MiB there are.
        given_mib: u64,
        /// The longest sequence that fits.
        possible_len: usize,
    },
    /// An option contradicts the model.
    #[error("{0}")]
    Option(String),
}

impl LoadError {
    pub(crate) fn dummy_gguf() -> Self {
        Self::Option("dummy weights need a folder with a config.json, not a .gguf file".to_owned())
    }

    /// candle prints a backtrace below its message where RUST_BACKTRACE is set; that is for us and not for an operator.
    pub(crate) fn malformed(path: &Path, reason: impl std::fmt::Display) -> Self {
        let reason = reason.to_string();
        Self::Malformed {
            path: path.to_owned(),
            reason: reason.lines().next().unwrap_or_default().to_owned(),
        }
    }

    pub(crate) fn unsupported(
        path: &Path,
        key: impl Into<String>,
        value: impl std::fmt::Display,
        supported: &'static str,
    ) -> Self {
        Self::Unsupported {
            path: path.to_owned(),
            key: key.into(),
            value: value.to_string(),
            supported,
        }
    }
}
