//! The wire shape of a completion request, besides what it shares with chat.

use plugin_sdk::ApiError;

use crate::{
    body::{Object, Value},
    logprobs::MAX_ALTERNATIVES,
    prompts::Prompts,
};

/// The fields of a completion request, of the right types and not yet checked against each other.
#[derive(Debug)]
pub(super) struct CompletionRequest {
    pub(super) prompts: Prompts,
    /// Whether the prompt is to stand before its completion.
    pub(super) echo: bool,
    /// How many alternatives to report for each token; 0: the chosen token alone.
    pub(super) logprobs: Option<u32>,
}

impl CompletionRequest {
    pub(super) fn read(fields: &Object) -> Result<CompletionRequest, ApiError> {
        Ok(CompletionRequest {
            prompts: fields.need("prompt", Prompts::read)?,
            echo: fields.read("echo", Value::boolean)?.unwrap_or(false),
            logprobs: fields.read("logprobs", |v| v.integer(0..=MAX_ALTERNATIVES))?,
        })
    }
}
