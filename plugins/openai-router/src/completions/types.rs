//! The wire shape of a completion request, besides what it shares with chat.

use plugin_sdk::ApiError;

use crate::{
    body::{Kind, Object, Value},
    logprobs::MAX_ALTERNATIVES,
};

/// The fields of a completion request, of the right types and not yet checked against each other.
#[derive(Debug)]
pub(super) struct CompletionRequest {
    pub(super) prompts: Prompts,
    /// How many alternatives to report for each token; 0: the chosen token alone.
    pub(super) logprobs: Option<u32>,
}

/// What is to be completed: OpenAI's four shapes of `prompt`, of which two are lists of the other two.
#[derive(Debug)]
pub(super) enum Prompts {
    Texts(Vec<String>),
    Tokens(Vec<Vec<u32>>),
}

impl CompletionRequest {
    pub(super) fn read(fields: &Object) -> Result<CompletionRequest, ApiError> {
        Ok(CompletionRequest {
            prompts: Prompts::read(fields)?,
            logprobs: fields.read("logprobs", |v| v.integer(0..=MAX_ALTERNATIVES))?,
        })
    }
}

impl Prompts {
    fn read(fields: &Object) -> Result<Prompts, ApiError> {
        fields.need("prompt", |prompt| match prompt.kind() {
            Kind::String => Ok(Prompts::Texts(vec![prompt.string()?])),
            Kind::List => Prompts::read_list(prompt),
            _ => Err(prompt.must_be(
                "a string, a list of strings, a list of token ids or a list of such lists",
            )),
        })
    }

    /// The first item tells what the list is of.
    fn read_list(prompt: Value) -> Result<Prompts, ApiError> {
        match prompt.first_kind() {
            Kind::Number => Ok(Prompts::Tokens(vec![prompt.tokens()?])),
            Kind::List => prompt.each(Value::tokens).map(Prompts::Tokens),
            _ => prompt.each(Value::string).map(Prompts::Texts),
        }
    }

    /// How many prompts there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Prompts::Texts(texts) => texts.len(),
            Prompts::Tokens(lists) => lists.len(),
        }
    }
}
