//! Log probabilities as completions write them: a list for each property, one item a token.

use std::{borrow::Cow, collections::BTreeMap};

use plugin_sdk::PositionLogprobs;
use serde::{Serialize, Serializer};

use crate::logprobs::text;

/// `choices[].logprobs`.
#[derive(Serialize)]
pub(super) struct Logprobs<'a> {
    tokens: Vec<Cow<'a, str>>,
    token_logprobs: Vec<f32>,
    top_logprobs: Vec<Alternatives<'a>>,
    /// In characters from the start of the choice's text, by the lengths of `tokens`.
    text_offset: Vec<usize>,
}

/// The alternatives at a position and the chosen token: `{text: logprob}`, likeliest first.
struct Alternatives<'a>(&'a PositionLogprobs);

/// Where the next token of each choice of a stream begins, in characters.
#[derive(Default)]
pub(super) struct Offsets(BTreeMap<u32, usize>);

impl<'a> Logprobs<'a> {
    /// Of these tokens, the first of which begins at `offset`, which is moved behind the last; nothing if there are none.
    pub(super) fn of(positions: &'a [PositionLogprobs], offset: &mut usize) -> Option<Self> {
        if positions.is_empty() {
            return None;
        }
        let tokens: Vec<_> = positions.iter().map(|at| text(&at.chosen)).collect();
        let begin = |token: &Cow<str>| {
            let begin = *offset;
            *offset += token.chars().count();
            begin
        };
        Some(Logprobs {
            text_offset: tokens.iter().map(begin).collect(),
            tokens,
            token_logprobs: positions.iter().map(|at| at.chosen.logprob).collect(),
            top_logprobs: positions.iter().map(Alternatives).collect(),
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
        let Alternatives(PositionLogprobs { chosen, top }) = self;
        let mut members: Vec<(Cow<str>, f32)> = Vec::with_capacity(top.len() + 1);
        for token in top.iter().chain([chosen]) {
            // Several parts of characters may be the same text, and a JSON object has a key once: the likeliest stays.
            let text = text(token);
            if !members.iter().any(|(key, _)| *key == text) {
                members.push((text, token.logprob));
            }
        }
        out.collect_map(members)
    }
}
