use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, PreTokenizerWrapper, SplitDelimiterBehavior};

use super::Inner;
use super::parts::may_be_cut;
use super::pieces::{Kind, Pieces};
use crate::Error;

// What GGUF's token types say. The others (1 normal, 2 unknown, 6 byte) are ordinary in a byte-level vocabulary.
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// How Qwen2 and 3 cut text into words.
pub(super) const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// How Llama 3 does.
pub(super) const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The vocabulary of a GGUF file whose `tokenizer.ggml.model` is `gpt2`, key by key.
#[derive(Clone, Debug)]
pub struct GgufVocab {
    /// `tokenizer.ggml.tokens`; a token's index is its id.
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.token_type`, one per token.
    pub token_types: Vec<i32>,
    /// `tokenizer.ggml.merges`, each two tokens with a blank between, the first to be applied first.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.pre`, the name of the way in which text is cut before merging.
    pub pre: String,
    /// `tokenizer.ggml.bos_token_id` if `tokenizer.ggml.add_bos_token` is true: begins a plain prompt.
    pub bos: Option<u32>,
}

pub(super) fn build(vocab: GgufVocab) -> Result<Inner, Error> {
    let GgufVocab {
        tokens,
        token_types,
        merges,
        pre,
        bos,
    } = vocab;
    if token_types.len() != tokens.len() {
        let (types, tokens) = (token_types.len(), tokens.len());
        return Err(Error::Vocabulary(format!(
            "{tokens} tokens, but {types} token types"
        )));
    }
    if let Some(bos) = bos.filter(|&bos| bos as usize >= tokens.len()) {
        return Err(Error::Vocabulary(format!(
            "begin token {bos} of {} tokens",
            tokens.len()
        )));
    }
    let cut = Cut::named(&pre)?;

    let mut ids = Vocab::with_capacity(tokens.len());
    let mut added = Vec::new();
    let mut pieces = Vec::with_capacity(tokens.len());
    for ((id, token), token_type) in (0..).zip(tokens).zip(token_types) {
        let kind = match token_type {
            // Rows that pad the model's matrices: no text leads to them, and they lead to none.
            UNUSED => continue,
            CONTROL => Kind::Special,
            USER_DEFINED => Kind::Added,
            _ => Kind::Normal,
        };
        if kind != Kind::Normal {
            let special = kind == Kind::Special;
            added.push(AddedToken::from(token.clone(), special).normalized(false));
        }
        ids.insert(token.clone(), id);
        pieces.push((id, token, kind));
    }

    let merges = split_merges(merges, &ids)?;
    let damaged = |error: tokenizers::Error| Error::Vocabulary(error.to_string());
    let model = BPE::builder()
        .vocab_and_merges(ids, merges)
        .ignore_merges(cut.whole_words)
        .build()
        .map_err(damaged)?;
    let mut encoder = tokenizers::Tokenizer::new(model);
    if cut.nfc {
        encoder.with_normalizer(Some(NFC)).map_err(damaged)?;
    }
    encoder.with_pre_tokenizer(Some(cut.splitter));
    encoder.add_tokens(added).map_err(damaged)?;
    Ok(Inner {
        may_be_cut: may_be_cut(&encoder),
        encoder,
        pieces: Pieces::new(pieces)?,
        bos,
    })
}

/// How a family of models prepares text for merging.
struct Cut {
    splitter: PreTokenizerWrapper,
    /// Composed and decomposed accents are the same.
    nfc: bool,
    /// A word that is a token is never built from merges.
    whole_words: bool,
}

impl Cut {
    fn named(pre: &str) -> Result<Self, Error> {
        let gpt2 = || ByteLevel::new(false, false, true).into();
        let (splitter, nfc, whole_words) = match pre {
            "gpt-2" => (gpt2(), false, false),
            "smollm" => (
                Sequence::new(vec![Digits::new(true).into(), gpt2()]).into(),
                false,
                false,
            ),
            "qwen2" => (by_regex(QWEN2)?, true, false),
            "llama-bpe" | "llama3" | "llama-v3" => (by_regex(LLAMA3)?, false, true),
            _ => {
                return Err(Error::Unsupported(format!(
                    "the GGUF file cuts text in the way {pre:?} (tokenizer.ggml.pre); known are gpt-2, smollm, qwen2 and \
                     llama-bpe. Use the model's folder with its tokenizer.json instead"
                )));
            }
        };
        Ok(Self {
            splitter,
            nfc,
            whole_words,
        })
    }
}

fn by_regex(pattern: &str) -> Result<PreTokenizerWrapper, Error> {
    let split = Split::new(
        SplitPattern::Regex(pattern.to_owned()),
        SplitDelimiterBehavior::Isolated,
        false,
    )
    .map_err(|error| Error::Unsupported(format!("the regex engine refuses {pattern}: {error}")))?;
    Ok(Sequence::new(vec![
        split.into(),
        ByteLevel::new(false, false, false).into(),
    ])
    .into())
}

/// Checks what the library does not: that each pair makes a token. It panics where a pair is longer than any token.
fn split_merges(merges: Vec<String>, ids: &Vocab) -> Result<Merges, Error> {
    let mut joined = String::new();
    let pair = |merge: String| {
        let (first, second) = merge.split_once(' ').unwrap_or_default();
        joined.clear();
        joined.extend([first, second]);
        if [first, second, &joined]
            .into_iter()
            .all(|token| ids.contains_key(token))
        {
            Ok((first.to_owned(), second.to_owned()))
        } else {
            Err(Error::Vocabulary(format!(
                "the merge {merge:?} is not two tokens that make a third"
            )))
        }
    };
    merges.into_iter().map(pair).collect()
}
