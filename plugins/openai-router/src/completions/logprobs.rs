//! Log probabilities as completions write them: a list for each property, one item a token.

use std::{borrow::Cow, collections::BTreeMap};

use plugin_sdk::{PositionLogprobs, PromptToken, TokenLogprob};
use serde::{Serialize, Serializer};

use crate::logprobs::text;

/// `choices[].logprobs`.
#[derive(Serialize)]
pub(super) struct Logprobs<'a> {
    tokens: Vec<Cow<'a, str>>,
    /// `null` for the first token of an echoed prompt, which nothing comes before.
    token_logprobs: Vec<Option<f32>>,
    top_logprobs: Vec<Option<Alternatives<'a>>>,
    /// In characters from the start of the choice's text, by the lengths of `tokens`.
    text_offset: Vec<usize>,
}

/// A token of a prompt or of an answer.
pub(super) struct Token<'a> {
    text: Cow<'a, str>,
    logprob: Option<f32>,
    top: &'a [TokenLogprob],
}

/// The alternatives at a position and the token itself: `{text: logprob}`, likeliest first.
struct Alternatives<'a> {
    own: (Cow<'a, str>, f32),
    top: &'a [TokenLogprob],
}

/// Where the next token of each choice of a stream begins, in characters.
#[derive(Default)]
pub(super) struct Offsets(BTreeMap<u32, usize>);

impl<'a> Token<'a> {
    pub(super) fn of_answer(position: &'a PositionLogprobs) -> Self {
        Token {
            text: text(&position.chosen.bytes),
            logprob: Some(position.chosen.logprob),
            top: &position.top,
        }
    }

    pub(super) fn of_prompt(token: &'a PromptToken) -> Self {
        Token {
            text: text(&token.bytes),
            logprob: token.logprob,
            top: &token.top,
        }
    }
}

impl<'a> Logprobs<'a> {
    /// Of these tokens, the first of which begins at `offset`, which is moved behind the last; nothing if there are none.
    pub(super) fn of(tokens: Vec<Token<'a>>, offset: &mut usize) -> Option<Self> {
        if tokens.is_empty() {
            return None;
        }
        let begin = |token: &Token| {
            let begin = *offset;
            *offset += token.text.chars().count();
            begin
        };
        let alternatives = |token: &Token<'a>| {
            let own = (token.text.clone(), token.logprob?);
            Some(Alternatives {
                own,
                top: token.top,
            })
        };
        Some(Logprobs {
            text_offset: tokens.iter().map(begin).collect(),
            token_logprobs: tokens.iter().map(|token| token.logprob).collect(),
            top_logprobs: tokens.iter().map(alternatives).collect(),
            tokens: tokens.into_iter().map(|token| token.text).collect(),
        })
    }
}

impl Offsets {
    pub(super) fn of(&mut self, choice: u32) -> &mut usize {
        self.0.entry(choice).or_default()
    }
}

impl Serialize for Alternatives<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let top = self
            .top
            .iter()
            .map(|token| (text(&token.bytes), token.logprob));
        let mut members: Vec<(Cow<str>, f32)> = Vec::with_capacity(self.top.len() + 1);
        for (text, logprob) in top.chain([self.own.clone()]) {
            // Several parts of characters may be the same text, and a JSON object has a key once: the likeliest stays.
            if !members.iter().any(|(key, _)| *key == text) {
                members.push((text, logprob));
            }
        }
        out.collect_map(members)
    }
}
