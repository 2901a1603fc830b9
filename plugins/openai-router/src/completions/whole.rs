//! Completions sent as one body.

use std::collections::BTreeMap;

use plugin_sdk::{
    ApiError, Event, FinishReason, Header, PositionLogprobs, PromptReport, Reply, Usage,
};
use serde::Serialize;

use super::{
    choice::{finish_reason, text},
    echo::Echo,
    logprobs::{Logprobs, Token},
};
use crate::{
    answer::{Body, Identity, json, json_headers},
    error::ErrorBody,
};

/// Collects the choices until all of them have ended.
pub(super) struct WholeCompletion {
    identity: Identity,
    echo: Echo,
    /// Those that have come.
    prompts: BTreeMap<u32, PromptReport>,
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
    text: String,
    logprobs: Option<Logprobs<'a>>,
    finish_reason: &'static str,
}

impl WholeCompletion {
    pub(super) fn new(identity: Identity, echo: Echo, num_choices: usize) -> WholeCompletion {
        let choice = Choice {
            text: String::new(),
            logprobs: Vec::new(),
            finish: FinishReason::Stop,
        };
        WholeCompletion {
            identity,
            echo,
            prompts: BTreeMap::new(),
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
                Event::Prompt(prompt) => {
                    self.prompts.insert(prompt.input, prompt);
                }
                // Not asked for.
                Event::Embedding(_) => {}
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
            .map(|(index, choice)| {
                let prompt = self.prompts.get(&self.echo.input_of(index));
                let prompt_text = prompt.map_or("", |prompt| &prompt.text);
                let mut tokens = prompt.map_or_else(Vec::new, |prompt| self.echo.tokens(prompt));
                tokens.extend(choice.logprobs.iter().map(Token::of_answer));
                ChoiceBody {
                    index,
                    text: [prompt_text, &choice.text].concat(),
                    logprobs: Logprobs::of(tokens, &mut 0),
                    finish_reason: finish_reason(choice.finish),
                }
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
