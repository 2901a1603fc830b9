use crate::{Specials, Tokenizer};

/// Turns a stream of tokens into text as it comes.
///
/// What all calls return, put together, is what [`Tokenizer::decode`] makes of all tokens at once. A byte-level token may end
/// within a character; only whole characters are handed out, so at most three bytes are ever held back.
#[derive(Clone, Debug)]
pub struct Detokenizer {
    tokenizer: Tokenizer,
    specials: Specials,
    /// The beginning of a character whose rest has not come.
    pending: Vec<u8>,
}

impl Detokenizer {
    /// Begins a text.
    pub fn new(tokenizer: Tokenizer, specials: Specials) -> Self {
        Self {
            tokenizer,
            specials,
            pending: Vec::new(),
        }
    }

    /// Takes the next token and returns the text that is certain now, maybe none.
    pub fn push(&mut self, token: u32) -> String {
        let mut text = String::new();
        if let Some(bytes) = self.tokenizer.shown(token, self.specials) {
            self.pending.extend_from_slice(bytes);
            self.pending.drain(..move_certain(&self.pending, &mut text));
        }
        text
    }

    /// No more tokens come: returns U+FFFD if the last character was left unfinished.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

/// Appends all characters of `bytes` to `text` but an unfinished last one, and returns how many bytes that took. Bytes
/// that cannot become a character turn into U+FFFD, as many as in a lossy conversion of the whole.
fn move_certain(bytes: &[u8], text: &mut String) -> usize {
    let mut done = 0;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        done += chunk.valid().len();
        if chunk.invalid().is_empty() {
            continue;
        }
        let unfinished =
            std::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none());
        // Only a last chunk can be continued; one in the middle already met the byte that breaks it.
        if unfinished && done + chunk.invalid().len() == bytes.len() {
            break;
        }
        text.push(char::REPLACEMENT_CHARACTER);
        done += chunk.invalid().len();
    }
    done
}
