//! What may happen to one request, made of the fuzzer's bytes and kept within the contract.

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use plugin_sdk::{
    ChoiceDelta, ChoiceFinish, ChoiceLogprobs, Delta, Event, FinishReason, PositionLogprobs,
    PromptReport, PromptToken, TokenLogprob, ToolCallArguments, ToolCallStart, Usage,
};

/// Something that may happen to a choice.
#[derive(Arbitrary, Debug)]
pub enum Happening {
    /// Answer text.
    Content(String),
    /// Reasoning text.
    Reasoning(String),
    /// A call of this tool begins.
    Call(String),
    /// One of the calls so far gets more arguments.
    Arguments(u8, String),
    /// Tokens were chosen.
    Logprobs(Vec<Position>),
    /// It ends, for one of the reasons.
    Finished(u8),
}

/// A prompt that is told before its answers. Its first token has no probability.
#[derive(Arbitrary, Debug)]
pub struct Prompt {
    text: String,
    tokens: Vec<Position>,
}

/// A token that was chosen and its rivals.
#[derive(Arbitrary, Debug)]
pub struct Position {
    chosen: Token,
    top: Vec<Token>,
}

#[derive(Arbitrary, Debug)]
struct Token {
    bytes: Vec<u8>,
    /// In 64ths.
    logprob: i16,
}

/// What a choice has come to: by what happened, or as a client has read it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// Answer text.
    pub content: String,
    /// Reasoning text.
    pub reasoning: String,
    /// Names and arguments.
    pub calls: Vec<(String, String)>,
    /// The tokens that were chosen, each as text.
    pub tokens: Vec<String>,
    /// Why it ended, in OpenAI's word.
    pub finish: Option<String>,
    /// All text in the order in which it came; empty where the two kinds are told apart.
    pub all_text: String,
}

/// By the number of the choice.
pub type Choices = BTreeMap<u32, Told>;

impl Told {
    /// The event that happens, unless the contract forbids it here: nothing follows an end, and arguments belong to a call.
    pub fn happen(
        &mut self,
        choice: u32,
        happening: Happening,
        usage_so_far: Usage,
    ) -> Option<Event> {
        if self.finish.is_some() {
            return None;
        }
        let delta = match happening {
            Happening::Content(text) => {
                self.content += &text;
                self.all_text += &text;
                Delta::Content(text)
            }
            Happening::Reasoning(text) => {
                self.reasoning += &text;
                self.all_text += &text;
                Delta::Reasoning(text)
            }
            Happening::Call(name) => {
                let index = self.calls.len() as u32;
                self.calls.push((name.clone(), String::new()));
                Delta::ToolCallStart(ToolCallStart { index, name })
            }
            Happening::Arguments(index, text) => {
                let index = usize::from(index) % self.calls.len().max(1);
                self.calls.get_mut(index)?.1 += &text;
                let index = index as u32;
                Delta::ToolCallArguments(ToolCallArguments { index, text })
            }
            Happening::Logprobs(positions) => {
                let tokens: Vec<_> = positions.into_iter().map(position).collect();
                let texts = tokens
                    .iter()
                    .map(|at| String::from_utf8_lossy(&at.chosen.bytes));
                self.tokens.extend(texts.map(String::from));
                return Some(Event::Logprobs(ChoiceLogprobs { choice, tokens }));
            }
            Happening::Finished(reason) => {
                let (reason, word) = match reason % 4 {
                    0 => (FinishReason::Stop, "stop"),
                    1 => (FinishReason::Length, "length"),
                    2 => (FinishReason::ToolCalls, "tool_calls"),
                    _ => (FinishReason::ContentFilter, "content_filter"),
                };
                self.finish = Some(word.to_owned());
                return Some(Event::Finished(ChoiceFinish { choice, reason }));
            }
        };
        Some(Event::Delta(ChoiceDelta {
            choice,
            delta,
            usage_so_far,
        }))
    }
}

impl Prompt {
    /// The event that reports it, and what a choice that begins with it is so far.
    pub fn report(self) -> (Event, Told) {
        let tokens = (0..).zip(self.tokens).map(|(place, token)| {
            let PositionLogprobs { chosen, top } = position(token);
            let is_first = place == 0;
            PromptToken {
                id: chosen.id,
                bytes: chosen.bytes,
                logprob: (!is_first).then_some(chosen.logprob),
                top: if is_first { Vec::new() } else { top },
            }
        });
        let report = PromptReport {
            input: 0,
            text: self.text,
            tokens: tokens.collect(),
        };
        let texts = report
            .tokens
            .iter()
            .map(|token| String::from_utf8_lossy(&token.bytes).into_owned());
        let told = Told {
            all_text: report.text.clone(),
            tokens: texts.collect(),
            ..Told::default()
        };
        (Event::Prompt(report), told)
    }
}

fn position(Position { chosen, top }: Position) -> PositionLogprobs {
    let token = |Token { bytes, logprob }| TokenLogprob {
        id: 0,
        bytes,
        logprob: f32::from(logprob) / 64.0,
    };
    PositionLogprobs {
        chosen: token(chosen),
        top: top.into_iter().map(token).collect(),
    }
}
