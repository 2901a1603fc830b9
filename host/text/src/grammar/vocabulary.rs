use std::panic;
use std::sync::Arc;

use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};

use crate::{Error, Tokenizer};

/// Longer tokens are never allowed: the trie holds no deeper paths. Real vocabularies reach some hundred bytes, and
/// whatever such a token says can be said with shorter ones.
const MAX_TOKEN_LEN: usize = 1000;

/// A model's tokens as the grammar library wants them.
pub(super) struct Vocabulary {
    pub(super) env: TokEnv,
    /// Tokens that are text, as words of bits. Nothing else is ever allowed, but for end tokens where a text may end.
    text: Vec<u32>,
    end_tokens: Vec<u32>,
}

impl Vocabulary {
    /// `vocab_len` counts the logits. Ids without a token, marks, and end tokens are no text.
    pub(super) fn new(
        tokenizer: &Tokenizer,
        end_tokens: &[u32],
        vocab_len: usize,
    ) -> Result<Self, Error> {
        let Some(&first_end) = end_tokens.first() else {
            return Err(Error::Unsupported(
                "a model without an end token cannot end a text that may also go on".to_owned(),
            ));
        };
        if let Some(end) = end_tokens.iter().find(|&&end| end as usize >= vocab_len) {
            return Err(Error::Vocabulary(format!(
                "end token {end} of a model with {vocab_len} logits"
            )));
        }
        let ids = 0..u32::try_from(vocab_len)
            .map_err(|_| Error::Vocabulary(format!("{vocab_len} logits are too many")))?;
        let mut text = vec![0; vocab_len.div_ceil(32)];
        let mut words = Vec::with_capacity(vocab_len);
        for id in ids.clone() {
            let bytes = tokenizer.bytes(id).unwrap_or_default();
            if tokenizer.is_special(id) || end_tokens.contains(&id) {
                words.push([&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat());
            } else if is_text(bytes) {
                text[id as usize / 32] |= 1 << (id % 32);
                words.push(bytes.to_owned());
            } else {
                // Not in the trie at all.
                words.push(Vec::new());
            }
        }
        // The library asserts that sizes fit its packed nodes; those of real vocabularies do.
        let trie = panic::catch_unwind(|| {
            TokTrie::from(&TokRxInfo::new(ids.end, first_end), &words).with_eos_tokens(end_tokens)
        });
        let trie = trie.map_err(|_| {
            Error::Vocabulary("its tokens do not fit the trie that grammars walk".to_owned())
        })?;
        Ok(Self {
            // Tokens are never forced, so nothing needs the model's own way of cutting text.
            env: Arc::new(ApproximateTokEnv::new(trie)),
            text,
            end_tokens: end_tokens.to_owned(),
        })
    }

    /// The words of `mask` without what is no text; all zero if no text is left.
    pub(super) fn text_of(&self, mask: &[u32]) -> Vec<u32> {
        let words = self.text.iter().zip(mask);
        words.map(|(text, allowed)| text & allowed).collect()
    }

    /// Allows all end tokens.
    pub(super) fn add_ends(&self, mask: &mut [u32]) {
        for end in &self.end_tokens {
            mask[*end as usize / 32] |= 1 << (end % 32);
        }
    }
}

/// The library takes the byte that marks special tokens, which no UTF-8 has, as such wherever it stands.
fn is_text(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.len() <= MAX_TOKEN_LEN
        && !bytes.contains(&TokTrie::SPECIAL_TOKEN_MARKER)
}
