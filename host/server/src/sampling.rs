//! From a plugin's request record to the engine's.

use std::time::Instant;

use engine::{CacheScope, SamplingParams, constraint::Constraint};
use sandbox::{ApiError, InferenceRequest};

use crate::{error::invalid, prompt::scope, request_id::random_u64};

/// What holds where neither the client nor a shaper says otherwise: the model's own recommendation.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingDefaults {
    /// See [`SamplingParams::temperature`].
    pub temperature: f32,
    /// See [`SamplingParams::top_p`].
    pub top_p: f32,
    /// See [`SamplingParams::top_k`].
    pub top_k: usize,
    /// See [`SamplingParams::min_p`].
    pub min_p: f32,
}

/// What the engine is asked for, before a prompt is known.
pub(crate) struct SamplingPlan {
    sampling: SamplingParams,
    max_tokens: Option<usize>,
    priority: i32,
    scope: CacheScope,
    deadline: Option<Instant>,
    ignores_end: bool,
    prompt_logprobs: Option<usize>,
}

impl SamplingPlan {
    /// Ranges are left to the engine, but for those that it does not know of.
    pub(crate) fn new(
        request: &InferenceRequest,
        defaults: &SamplingDefaults,
        end_tokens: &[u32],
        deadline: Option<Instant>,
    ) -> Self {
        let asked = &request.sampling;
        let end_tokens = if asked.ignore_eos { &[] } else { end_tokens };
        let sampling = SamplingParams {
            temperature: asked.temperature.unwrap_or(defaults.temperature),
            top_p: asked.top_p.unwrap_or(defaults.top_p),
            top_k: asked.top_k.map_or(defaults.top_k, |k| k as usize),
            min_p: asked.min_p.unwrap_or(defaults.min_p),
            repetition_penalty: asked.repetition_penalty.unwrap_or(1.0),
            presence_penalty: asked.presence_penalty.unwrap_or(0.0),
            frequency_penalty: asked.frequency_penalty.unwrap_or(0.0),
            logit_bias: asked.logit_bias.clone(),
            seed: asked.seed.map_or_else(random_u64, |seed| seed as u64),
            logprobs: asked.logprobs.map(|len| len as usize),
            stop_token_ids: [end_tokens, &asked.stop_token_ids].concat(),
            min_tokens: asked.min_tokens as usize,
        };
        Self {
            sampling,
            max_tokens: asked.max_tokens.map(|len| len as usize),
            priority: request.priority,
            scope: scope(request.cache_salt.clone()),
            deadline,
            ignores_end: asked.ignore_eos,
            prompt_logprobs: match request.echo {
                true => asked.logprobs.map(|len| len as usize),
                false => None,
            },
        }
    }

    /// The engine's request for a prompt, which came from the client's field `param`. `constraint` holds the answer to its form.
    /// An answer of no tokens still needs a step that computes its prompt, and so is one of one token here.
    ///
    /// Fails where prompt and answer together exceed the context, as OpenAI's servers do, instead of cutting the answer.
    pub(crate) fn for_prompt(
        &self,
        prompt: Vec<u32>,
        param: &str,
        constraint: Option<Box<dyn Constraint>>,
        max_model_len: usize,
    ) -> Result<engine::Request, ApiError> {
        if self.ignores_end && constraint.is_some() {
            let message = "ignore_eos cannot be kept for an answer that has a form, which says itself where it may end";
            return Err(invalid("ignore_eos", message));
        }
        let room = max_model_len.saturating_sub(prompt.len());
        let asked = self.max_tokens.unwrap_or(1).max(1);
        if asked > room {
            let message = format!(
                "this model's context holds {max_model_len} tokens; the request needs {} ({} of the prompt and at least \
                 {asked} of the answer): shorten the prompt or lower max_tokens",
                prompt.len() + asked,
                prompt.len(),
            );
            return Err(crate::error::coded(
                "context_length_exceeded",
                invalid(param, message),
            ));
        }
        Ok(engine::Request {
            prompt,
            sampling: self.sampling.clone(),
            max_tokens: self.max_tokens.map_or(room, |len| len.max(1)),
            priority: self.priority,
            deadline: self.deadline,
            scope: self.scope.clone(),
            constraint,
            prompt_logprobs: self.prompt_logprobs,
        })
    }
}
