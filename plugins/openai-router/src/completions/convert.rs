//! From a checked completion request to the engine's terms.

use plugin_sdk::InferenceRequest;

use super::types::CompletionRequest;
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
    InferenceRequest {
        echo: completion.echo,
        ..generation.into_request(completion.prompts.into_inputs())
    }
}
