//! From a checked completion request to the engine's terms.

use plugin_sdk::{InferenceRequest, Input};

use super::types::{CompletionRequest, Prompts};
use crate::generation::Generation;

/// By OpenAI's rules a completion that names no limit is short.
const DEFAULT_MAX_TOKENS: u32 = 16;

/// The request for the engine.
pub(super) fn request(
    completion: CompletionRequest,
    mut generation: Generation,
) -> InferenceRequest {
    generation.sampling.logprobs = completion.logprobs;
    let least = generation.sampling.min_tokens;
    generation
        .sampling
        .max_tokens
        .get_or_insert(DEFAULT_MAX_TOKENS.max(least));
    generation.into_request(match completion.prompts {
        Prompts::Texts(texts) => texts.into_iter().map(Input::Text).collect(),
        Prompts::Tokens(lists) => lists.into_iter().map(Input::Tokens).collect(),
    })
}
