//! From a request's sampling record to the engine's, refusing what the engine lacks: nothing is ignored silently.

use engine::SamplingParams;
use sandbox::{ApiError, InferenceRequest, Sampling};

use crate::{error::invalid, request_id::random_u64};

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

/// How one request's tokens are chosen, before its prompt is known.
pub(crate) struct SamplingPlan {
    base: SamplingParams,
    min_tokens: usize,
    stop_token_ids: Vec<u32>,
    max_tokens: Option<usize>,
}

impl SamplingPlan {
    /// Checks the ranges again, as a plugin may have written them.
    pub(crate) fn new(
        request: &InferenceRequest,
        defaults: &SamplingDefaults,
        end_tokens: &[u32],
    ) -> Result<Self, ApiError> {
        let sampling = &request.sampling;
        refuse_unsupported(request)?;
        let temperature =
            within("temperature", sampling.temperature, 0.0..=2.0)?.unwrap_or(defaults.temperature);
        let top_p = within("top_p", sampling.top_p, 0.0..=1.0)?.unwrap_or(defaults.top_p);
        if top_p == 0.0 {
            return Err(invalid(
                "top_p",
                "top_p must be above 0 and at most 1, got 0",
            ));
        }
        let min_p = within("min_p", sampling.min_p, 0.0..=1.0)?.unwrap_or(defaults.min_p);
        if sampling.max_tokens == Some(0) {
            return Err(invalid(
                "max_tokens",
                "max_tokens must be at least 1, got 0",
            ));
        }
        let end_tokens = if sampling.ignore_eos { &[] } else { end_tokens };
        Ok(Self {
            base: SamplingParams {
                temperature,
                top_p,
                top_k: sampling.top_k.map_or(defaults.top_k, |k| k as usize),
                min_p,
                seed: sampling.seed.map_or_else(random_u64, |seed| seed as u64),
                ..SamplingParams::default()
            },
            min_tokens: sampling.min_tokens as usize,
            stop_token_ids: [end_tokens, &sampling.stop_token_ids].concat(),
            max_tokens: sampling.max_tokens.map(|len| len as usize),
        })
    }

    /// The engine's request for one sample of a prompt, which came from the client's field `param`.
    ///
    /// Fails where prompt and answer together exceed the context, as OpenAI's servers do, instead of cutting the answer.
    pub(crate) fn for_prompt(
        &self,
        prompt: Vec<u32>,
        param: &str,
        max_model_len: usize,
    ) -> Result<engine::Request, ApiError> {
        let room = max_model_len.saturating_sub(prompt.len());
        let asked = self.max_tokens.unwrap_or(1);
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
        let mut sampling = self.base.clone();
        if self.min_tokens > 0 {
            sampling.forbidden.clone_from(&self.stop_token_ids);
            sampling.forbidden_before = prompt.len() + self.min_tokens;
        }
        Ok(engine::Request {
            max_tokens: self.max_tokens.unwrap_or(room),
            stop_token_ids: self.stop_token_ids.clone(),
            prompt,
            sampling,
        })
    }
}

fn within(
    name: &str,
    value: Option<f32>,
    range: std::ops::RangeInclusive<f32>,
) -> Result<Option<f32>, ApiError> {
    match value {
        Some(value) if !range.contains(&value) => {
            let (low, high) = range.into_inner();
            Err(invalid(
                name,
                format!("{name} must be between {low} and {high}, got {value}"),
            ))
        }
        value => Ok(value),
    }
}

fn refuse_unsupported(request: &InferenceRequest) -> Result<(), ApiError> {
    let Sampling {
        repetition_penalty,
        presence_penalty,
        frequency_penalty,
        logit_bias,
        logprobs,
        ..
    } = &request.sampling;
    let asked = [
        ("n", request.n != 1),
        (
            "repetition_penalty",
            repetition_penalty.is_some_and(|penalty| penalty != 1.0),
        ),
        (
            "presence_penalty",
            presence_penalty.is_some_and(|penalty| penalty != 0.0),
        ),
        (
            "frequency_penalty",
            frequency_penalty.is_some_and(|penalty| penalty != 0.0),
        ),
        ("logit_bias", !logit_bias.is_empty()),
        ("logprobs", logprobs.is_some()),
        ("priority", request.priority != 0),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        Some((name, _)) => Err(invalid(
            name,
            format!("{name} is not supported yet: leave it out"),
        )),
        None => Ok(()),
    }
}
