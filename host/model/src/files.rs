//! A model on disk: which files it is made of, and what they say before any weight is read.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Content;
use memmap2::Mmap;
use serde_json::Value;

use crate::chat::{ChatFiles, take_vocab};
use crate::config::ModelConfig;
use crate::error::LoadError;
use crate::tokenizer::TokenizerSource;
use crate::weights::gguf_vector;

/// A model's files, opened and understood, weights not yet read.
pub struct ModelFiles {
    /// The folder or the GGUF file.
    pub path: PathBuf,
    /// The decoder's shape.
    pub config: ModelConfig,
    /// End tokens, template, recommended sampling.
    pub chat: ChatFiles,
    /// The vocabulary.
    pub tokenizer: TokenizerSource,
    pub(crate) format: Format,
}

pub(crate) enum Format {
    /// `config.json` with `model.safetensors`, whole or in pieces.
    Folder,
    Gguf {
        content: Content,
        file: Mmap,
    },
}

impl ModelFiles {
    /// Opens a folder with a `config.json`, or a `.gguf` file.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        if path.is_dir() {
            Self::open_folder(path)
        } else {
            Self::open_gguf(path)
        }
    }

    fn open_folder(path: &Path) -> Result<Self, LoadError> {
        let config_path = path.join("config.json");
        let missing = |path| LoadError::Missing {
            path,
            needed: "config.json, tokenizer.json and *.safetensors",
        };
        let text = read_text(&config_path)?.ok_or_else(|| missing(config_path.clone()))?;
        Ok(Self {
            path: path.to_owned(),
            config: ModelConfig::from_json(&config_path, &text)?,
            chat: ChatFiles::from_folder(path)?,
            tokenizer: TokenizerSource::File(path.join("tokenizer.json")),
            format: Format::Folder,
        })
    }

    #[allow(unsafe_code, reason = "a mapped file")]
    fn open_gguf(path: &Path) -> Result<Self, LoadError> {
        let read_error = |source| LoadError::Read {
            path: path.to_owned(),
            source,
        };
        let file = std::fs::File::open(path).map_err(read_error)?;
        // SAFETY: the mapping is read-only. A file that is cut short while it is mapped would end the process with SIGBUS, and
        // one that is overwritten would give wrong weights: model files must not be changed in place while they are loaded.
        let file = unsafe { Mmap::map(&file) }.map_err(read_error)?;
        if !file.starts_with(b"GGUF") {
            let reason =
                "it does not begin with `GGUF`: it is no GGUF file, or was not fetched whole";
            return Err(LoadError::malformed(path, reason));
        }
        let mut content = Content::read(&mut Cursor::new(&file[..]))
            .map_err(|error| LoadError::malformed(path, error))?;
        let vocab = take_vocab(&mut content);
        let rope_factors = gguf_vector(path, &content, &file, "rope_freqs.weight")?;
        Ok(Self {
            path: path.to_owned(),
            config: ModelConfig::from_gguf(path, &content, rope_factors.as_deref())?,
            chat: ChatFiles::from_gguf(&content, &vocab),
            tokenizer: TokenizerSource::Gguf(vocab),
            format: Format::Gguf { content, file },
        })
    }
}

/// A file's text; `None` if there is no such file.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, LoadError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LoadError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// A file's JSON; `None` if there is no such file.
pub(crate) fn read_json(path: &Path) -> Result<Option<Value>, LoadError> {
    let parse = |text: String| {
        serde_json::from_str(&text).map_err(|error| LoadError::malformed(path, error))
    };
    read_text(path)?.map(parse).transpose()
}
