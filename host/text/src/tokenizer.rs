mod gguf;
mod parts;
mod pieces;

use std::fmt;
use std::panic;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use tokenizers::DecoderWrapper;

use self::pieces::{Kind, Pieces};
use crate::Error;

pub use self::gguf::GgufVocab;

/// The longest text that is encoded, in bytes: 16 for each of 262,144 tokens, the longest context of the Qwen3 family.
///
/// The splitting regex gives up, and its library panics, after ten million steps back: a run of that many blanks does it.
const MAX_TEXT_LEN: usize = 4 << 20;

/// What becomes of special tokens (begin, end of turn, …) when tokens are turned into text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specials {
    /// Written out, `<|im_end|>`.
    Keep,
    /// Left out, as an answer's reader expects.
    Drop,
}

/// A model's tokenizer. Clones share one vocabulary; all methods may be called from any thread.
#[derive(Clone)]
pub struct Tokenizer(Arc<Inner>);

struct Inner {
    encoder: tokenizers::Tokenizer,
    /// Whether a text may be encoded in parts.
    may_be_cut: bool,
    pieces: Pieces,
    /// Only from GGUF: a `tokenizer.json` says itself what stands around a prompt.
    bos: Option<u32>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`. Only byte-level BPE is accepted: Qwen2 and 3, Llama 3, SmolLM2, GPT-2 and their kin.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let failed = |error: tokenizers::Error| Error::File {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        // The library panics where a merge is longer than every token.
        let mut encoder = panic::catch_unwind(|| tokenizers::Tokenizer::from_file(path))
            .unwrap_or_else(|_| Err("its merges do not fit its vocabulary".into()))
            .map_err(failed)?;
        // Files may carry the lengths of some training run; a prompt must neither be cut nor filled up.
        encoder.with_truncation(None).map_err(failed)?;
        encoder.with_padding(None);
        if !matches!(encoder.get_decoder(), Some(DecoderWrapper::ByteLevel(_))) {
            return Err(Error::Unsupported(format!(
                "{} does not decode by bytes (decoder type ByteLevel); only byte-level BPE tokenizers are supported",
                path.display()
            )));
        }
        let added = encoder.get_added_tokens_decoder();
        let tokens = encoder.get_vocab(true).into_iter().map(|(token, id)| {
            let kind = match added.get(&id) {
                Some(token) if token.special => Kind::Special,
                Some(_) => Kind::Added,
                None => Kind::Normal,
            };
            (id, token, kind)
        });
        let pieces = Pieces::new(tokens.collect())?;
        Ok(Self(Arc::new(Inner {
            may_be_cut: parts::may_be_cut(&encoder),
            encoder,
            pieces,
            bos: None,
        })))
    }

    /// Builds the tokenizer that a GGUF file describes.
    pub fn from_gguf(vocab: GgufVocab) -> Result<Self, Error> {
        gguf::build(vocab).map(|inner| Self(Arc::new(inner)))
    }

    /// The tokens of a text, and nothing around them. Special tokens written out in it are read as such: a rendered
    /// chat template is encoded with this.
    ///
    /// Takes about half a second per million bytes, divided by the cores: not for an async thread.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        check_len(text)?;
        let parts = match self.0.may_be_cut {
            true => parts::parts(text, rayon::current_num_threads()),
            false => vec![text],
        };
        match parts[..] {
            [whole] => self.encode_with(whole, false),
            _ => {
                let encoded = parts.par_iter().map(|part| self.encode_with(part, false));
                Ok(encoded.collect::<Result<Vec<_>, _>>()?.concat())
            }
        }
    }

    /// The tokens of a plain text as a whole prompt: as [`encode`](Self::encode), with the begin token in front where
    /// the model wants one.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, Error> {
        check_len(text)?;
        let mut tokens = self.encode_with(text, true)?;
        if let Some(bos) = self.0.bos {
            tokens.insert(0, bos);
        }
        Ok(tokens)
    }

    fn encode_with(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, Error> {
        let encoding = self.0.encoder.encode_fast(text, add_special_tokens);
        Ok(encoding
            .map_err(|error| Error::Encode(error.to_string()))?
            .get_ids()
            .to_vec())
    }

    /// The text of tokens. Ids outside the vocabulary are nothing; bytes that are no UTF-8 become U+FFFD.
    pub fn decode(&self, tokens: &[u32], specials: Specials) -> String {
        let shown = tokens
            .iter()
            .filter_map(|&token| self.shown(token, specials));
        String::from_utf8_lossy(&shown.flatten().copied().collect::<Vec<u8>>()).into_owned()
    }

    /// One more than the highest id. A model's logits may have more rows: those are padding.
    pub fn vocab_len(&self) -> usize {
        self.0.pieces.len()
    }

    /// The id of a token, given as the vocabulary writes it (`<|im_end|>`; a blank in an ordinary token is `Ġ`).
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.0.encoder.token_to_id(token)
    }

    /// The bytes that a token stands for, often not whole characters. None outside the vocabulary.
    pub fn bytes(&self, token: u32) -> Option<&[u8]> {
        self.0.pieces.bytes(token)
    }

    /// Whether the token is one of the model's marks rather than text.
    pub fn is_special(&self, token: u32) -> bool {
        self.0.pieces.is_special(token)
    }

    /// The bytes that a token adds to a text; None where it adds nothing.
    pub(crate) fn shown(&self, token: u32, specials: Specials) -> Option<&[u8]> {
        match specials {
            Specials::Drop if self.is_special(token) => None,
            Specials::Drop | Specials::Keep => self.bytes(token),
        }
    }
}

impl fmt::Debug for Tokenizer {
    /// The length only: the whole vocabulary would drown whatever it is printed with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_len", &self.vocab_len())
            .finish_non_exhaustive()
    }
}

fn check_len(text: &str) -> Result<(), Error> {
    match text.len() {
        len if len > MAX_TEXT_LEN => Err(Error::TooLong {
            len,
            limit: MAX_TEXT_LEN,
        }),
        _ => Ok(()),
    }
}
