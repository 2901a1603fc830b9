//! Completions sent as one body.

use plugin_sdk::{ApiError, Event, FinishReason, Header, PositionLogprobs, Reply, Usage};
use serde::Serialize;

use super::{
    choice::{finish_reason, text},
    logprobs::Logprobs,
};
use crate::{
    answer::{Body, Identity, json, json_headers},
    error::ErrorBody,
};

/// Collects the choices until all of them have ended.
pub(super) struct WholeCompletion {
    identity: Identity,
    choices: Vec<Choice>,
}

#[derive(Clone)]
struct Choice {
    text: String,
    logprobs: Vec<PositionLogprobs>,
    finish: FinishReason,
}

#[derive(Serialize)]
struct ChoiceBody<'a> {
    index: u32,
    text: &'a str,
    logprobs: Option<Logprobs<'a>>,
    finish_reason: &'static str,
}

impl WholeCompletion {
    pub(super) fn new(identity: Identity, num_choices: usize) -> WholeCompletion {
        let choice = Choice {
            text: String::new(),
            logprobs: Vec::new(),
            finish: FinishReason::Stop,
        };
        WholeCompletion {
            identity,
            choices: vec![choice; num_choices],
        }
    }
}

impl Reply for WholeCompletion {
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
                Event::Delta(grown) => {
                    if let Some(choice) = self.choices.get_mut(grown.choice as usize) {
                        choice.text.push_str(text(&grown.delta));
                    }
                }
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
            .map(|(index, choice)| ChoiceBody {
                index,
                text: &choice.text,
                logprobs: Logprobs::of(&choice.logprobs, &mut 0),
                finish_reason: finish_reason(choice.finish),
            })
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
