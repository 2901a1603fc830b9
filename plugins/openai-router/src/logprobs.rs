//! Log probabilities on their way out: what the endpoints share.

use std::{borrow::Cow, collections::BTreeMap};

use plugin_sdk::{ChoiceLogprobs, PositionLogprobs, TokenLogprob};
use serde::{Serialize, Serializer};

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

/// An entry for each token, with its alternatives inside, as chat and responses have them. Serialised from the records as
/// they came: a long answer with 20 alternatives for each token has no room for a copy of them.
#[derive(Clone, Copy)]
pub(crate) struct Entries<'a>(pub(crate) &'a [PositionLogprobs]);

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(flatten)]
    chosen: Token<'a>,
    #[serde(serialize_with = "tokens")]
    top_logprobs: &'a [TokenLogprob],
}

#[derive(Serialize)]
struct Token<'a> {
    token: Cow<'a, str>,
    logprob: f32,
    bytes: &'a [u8],
}

impl<'a> From<&'a TokenLogprob> for Token<'a> {
    fn from(token: &'a TokenLogprob) -> Self {
        Token {
            token: text(&token.bytes),
            logprob: token.logprob,
            bytes: &token.bytes,
        }
    }
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq(self.0.iter().map(|position| Entry {
            chosen: Token::from(&position.chosen),
            top_logprobs: &position.top,
        }))
    }
}

fn tokens<S: Serializer>(tokens: &&[TokenLogprob], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(tokens.iter().map(Token::from))
}
