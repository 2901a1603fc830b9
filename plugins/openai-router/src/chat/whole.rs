//! A chat answer sent as one body.

use std::collections::BTreeMap;

use plugin_sdk::{
    ApiError, ChoiceDelta, Delta, Event, FinishReason, Header, PositionLogprobs, Reply, Usage,
};
use serde::Serialize;

use super::logprobs::Logprobs;
use crate::{
    answer::{Body, Identity, finish_reason, json, json_headers},
    calls::Calls,
    error::ErrorBody,
};

/// Collects the choices until all of them have ended.
pub(super) struct WholeChat {
    identity: Identity,
    calls: Calls,
    choices: Vec<Choice>,
}

#[derive(Clone)]
struct Choice {
    content: String,
    reasoning: String,
    calls: BTreeMap<u32, Function>,
    logprobs: Vec<PositionLogprobs>,
    finish: FinishReason,
}

#[derive(Serialize)]
struct ChoiceBody<'a> {
    index: u32,
    message: MessageBody<'a>,
    logprobs: Option<Logprobs<'a>>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct MessageBody<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: (),
    /// Under both of the names that clients read.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallBody<'a>>,
}

#[derive(Serialize)]
struct CallBody<'a> {
    id: String,
    r#type: &'static str,
    function: &'a Function,
}

#[derive(Clone, Serialize)]
struct Function {
    name: String,
    arguments: String,
}

impl WholeChat {
    pub(super) fn new(identity: Identity, num_choices: u32, calls: Calls) -> WholeChat {
        let choice = Choice {
            content: String::new(),
            reasoning: String::new(),
            calls: BTreeMap::new(),
            logprobs: Vec::new(),
            finish: FinishReason::Stop,
        };
        WholeChat {
            identity,
            calls,
            choices: vec![choice; num_choices as usize],
        }
    }

    fn grow(&mut self, ChoiceDelta { choice, delta, .. }: ChoiceDelta) {
        let Some(choice) = self.choices.get_mut(choice as usize) else {
            return;
        };
        match delta {
            Delta::Content(text) => choice.content.push_str(&text),
            Delta::Reasoning(text) => choice.reasoning.push_str(&text),
            Delta::ToolCallStart(start) if self.calls.admits(start.index) => {
                choice.calls.insert(
                    start.index,
                    Function {
                        name: start.name,
                        arguments: String::new(),
                    },
                );
            }
            Delta::ToolCallArguments(more) => {
                if let Some(call) = choice.calls.get_mut(&more.index) {
                    call.arguments.push_str(&more.text);
                }
            }
            Delta::ToolCallStart(_) => {}
        }
    }

    fn body<'a>(&self, index: u32, choice: &'a Choice) -> ChoiceBody<'a> {
        let call = |(&number, function)| CallBody {
            id: self.calls.id(index, number),
            r#type: "function",
            function,
        };
        let only_calls = choice.content.is_empty() && !choice.calls.is_empty();
        let reasoning = Some(choice.reasoning.as_str()).filter(|text| !text.is_empty());
        ChoiceBody {
            index,
            message: MessageBody {
                role: "assistant",
                content: (!only_calls).then_some(&choice.content),
                refusal: (),
                reasoning_content: reasoning,
                reasoning,
                tool_calls: choice.calls.iter().map(call).collect(),
            },
            logprobs: Logprobs::of(&choice.logprobs),
            finish_reason: finish_reason(choice.finish),
        }
    }
}

impl Reply for WholeChat {
    fn headers(&self) -> Vec<Header> {
        json_headers()
    }

    fn push(&mut self, events: Vec<Event>) -> Vec<u8> {
        for event in events {
            match event {
                Event::Logprobs(more) => {
                    if let Some(choice) = self.choices.get_mut(more.choice as usize) {
                        choice.logprobs.extend(more.tokens);
                    }
                }
                Event::Delta(delta) => self.grow(delta),
                // Not asked for.
                Event::Prompt(_) | Event::Embedding(_) => {}
                Event::Finished(end) => {
                    if let Some(choice) = self.choices.get_mut(end.choice as usize) {
                        choice.finish = end.reason;
                    }
                }
            }
        }
        Vec::new()
    }

    fn finish(&mut self, usage: Usage) -> Vec<u8> {
        let choices = (0..)
            .zip(&self.choices)
            .map(|(index, choice)| self.body(index, choice))
            .collect();
        json(&Body {
            identity: &self.identity,
            choices,
            usage: usage.into(),
        })
    }

    fn fail(&mut self, error: ApiError) -> Vec<u8> {
        json(&ErrorBody::from(&error))
    }
}
