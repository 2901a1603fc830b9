//! Log probabilities as chat writes them: an entry for each token, with its alternatives inside.

use std::borrow::Cow;

use plugin_sdk::{PositionLogprobs, TokenLogprob};
use serde::{Serialize, Serializer};

use crate::logprobs::text;

/// `choices[].logprobs`. Serialised from the records as they came: a long answer with 20 alternatives for each token has
/// no room for a copy of them.
#[derive(Serialize)]
pub(super) struct Logprobs<'a> {
    #[serde(serialize_with = "entries")]
    content: &'a [PositionLogprobs],
    refusal: (),
}

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

impl<'a> Logprobs<'a> {
    /// Of these tokens; nothing if there are none.
    pub(super) fn of(content: &'a [PositionLogprobs]) -> Option<Logprobs<'a>> {
        (!content.is_empty()).then_some(Logprobs {
            content,
            refusal: (),
        })
    }
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

fn entries<S: Serializer>(positions: &&[PositionLogprobs], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(positions.iter().map(|position| Entry {
        chosen: Token::from(&position.chosen),
        top_logprobs: &position.top,
    }))
}

fn tokens<S: Serializer>(tokens: &&[TokenLogprob], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(tokens.iter().map(Token::from))
}
