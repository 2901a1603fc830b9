//! Log probabilities on their way out: what chat and completions share.

use std::{borrow::Cow, collections::BTreeMap};

use plugin_sdk::{ChoiceLogprobs, PositionLogprobs};

/// The most alternatives that a client may ask for, as in OpenAI's schema for chat.
pub(crate) const MAX_ALTERNATIVES: i64 = 20;

/// What has come in a stream and not been sent, by choice. They come before their text, and every chunk of a choice takes
/// along all that wait for it.
#[derive(Default)]
pub(crate) struct Unsent(BTreeMap<u32, Vec<PositionLogprobs>>);

impl Unsent {
    pub(crate) fn add(&mut self, more: ChoiceLogprobs) {
        self.0.entry(more.choice).or_default().extend(more.tokens);
    }

    pub(crate) fn take(&mut self, choice: u32) -> Vec<PositionLogprobs> {
        self.0.remove(&choice).unwrap_or_default()
    }
}

/// A token's bytes as text. A part of a character becomes U+FFFD, since JSON has no way to write it.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
