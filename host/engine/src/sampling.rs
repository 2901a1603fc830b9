//! How the next token is chosen, by each request's own settings.
//!
//! The random number of a token depends on the request's seed and the token's position and on nothing else, so a request
//! gives the same text in any batch, in any chunking, after any preemption and with any drafts.

mod choose;
mod logprobs;
mod penalties;
mod sampler;

pub use self::{choose::argmax, logprobs::Logprobs, sampler::Sampler};
use crate::runner::TokenId;

/// The most alternatives that are reported per token.
pub const MAX_LOGPROBS: usize = 20;

/// The most tokens that may end a sequence: each token chosen is compared with them.
pub const MAX_STOP_TOKENS: usize = 4096;

/// One request's way of choosing tokens. The terms and their order of application are vLLM's: constraint and `min_tokens`,
/// bias, penalties, temperature, top-k, top-p, min-p.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingParams {
    /// 0 is greedy.
    pub temperature: f32,
    /// Nucleus probability mass in (0, 1]; 1 is off.
    pub top_p: f32,
    /// How many of the likeliest tokens stay; 0 is off.
    pub top_k: usize,
    /// Least probability relative to the likeliest token, in [0, 1]; 0 is off.
    pub min_p: f32,
    /// Divides the positive and multiplies the negative logits of tokens in prompt or output (Keskar et al. 2019); 1 is off.
    pub repetition_penalty: f32,
    /// Subtracted from the logits of tokens in the output; from -2 to 2, as OpenAI has it.
    pub presence_penalty: f32,
    /// Subtracted from a token's logit once for each time that it is in the output; from -2 to 2.
    pub frequency_penalty: f32,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(TokenId, f32)>,
    /// Key of the counter-based random numbers.
    pub seed: u64,
    /// How many of the likeliest tokens are reported with each token, at most [`MAX_LOGPROBS`]; `None`: no probabilities at all.
    pub logprobs: Option<usize>,
    /// Tokens that end the sequence, the model's own end tokens among them unless they are to be ignored.
    pub stop_token_ids: Vec<TokenId>,
    /// No stop token is chosen before this many tokens were, unless a constraint leaves nothing else.
    pub min_tokens: usize,
}

impl Default for SamplingParams {
    /// Greedy, without an end.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: 0,
            logprobs: None,
            stop_token_ids: Vec::new(),
            min_tokens: 0,
        }
    }
}

/// A parameter that cannot be what it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{param} {must_be}, got {found}")]
pub struct InvalidParam {
    /// Its name.
    pub param: &'static str,
    /// What it must be.
    pub must_be: String,
    /// What it is.
    pub found: String,
}

impl InvalidParam {
    pub(crate) fn new(
        param: &'static str,
        must_be: impl Into<String>,
        found: impl ToString,
    ) -> Self {
        Self {
            param,
            must_be: must_be.into(),
            found: found.to_string(),
        }
    }
}

impl SamplingParams {
    /// Whether tokens of prompt or output are penalised.
    pub fn has_penalties(&self) -> bool {
        self.repetition_penalty != 1.0
            || self.presence_penalty != 0.0
            || self.frequency_penalty != 0.0
    }

    /// Whether every number is one that sampling can work with, for a model of `vocab_len` tokens.
    pub fn check(&self, vocab_len: usize) -> Result<(), InvalidParam> {
        let Self {
            temperature,
            top_p,
            min_p,
            repetition_penalty,
            ..
        } = *self;
        let finite = |param, value: f32, is_fine: bool, must_be: &str| match is_fine {
            true if value.is_finite() => Ok(()),
            _ => Err(InvalidParam::new(param, must_be, value)),
        };
        let at_most = |param, len: usize, most: usize, what: &str| match len <= most {
            true => Ok(()),
            false => Err(InvalidParam::new(
                param,
                format!("must be at most {most}{what}"),
                len,
            )),
        };
        let is_share = (0.0..=1.0).contains(&min_p);
        let is_positive = repetition_penalty > 0.0;
        let penalty = |param, value: f32| {
            finite(
                param,
                value,
                (-2.0..=2.0).contains(&value),
                "must be from -2 to 2",
            )
        };
        finite(
            "temperature",
            temperature,
            temperature >= 0.0,
            "must be 0 or above",
        )?;
        finite(
            "top_p",
            top_p,
            top_p > 0.0 && top_p <= 1.0,
            "must be above 0 and at most 1",
        )?;
        finite("min_p", min_p, is_share, "must be from 0 to 1")?;
        finite(
            "repetition_penalty",
            repetition_penalty,
            is_positive,
            "must be above 0",
        )?;
        penalty("presence_penalty", self.presence_penalty)?;
        penalty("frequency_penalty", self.frequency_penalty)?;
        at_most("logit_bias", self.logit_bias.len(), vocab_len, " tokens")?;
        for &(token, bias) in &self.logit_bias {
            finite("logit_bias", bias, true, "must hold finite numbers")?;
            if token as usize >= vocab_len {
                let must_be = format!("must name tokens of the vocabulary, ids below {vocab_len}");
                return Err(InvalidParam::new("logit_bias", must_be, token));
            }
        }
        at_most(
            "stop_token_ids",
            self.stop_token_ids.len(),
            MAX_STOP_TOKENS,
            " tokens",
        )?;
        at_most("logprobs", self.logprobs.unwrap_or(0), MAX_LOGPROBS, "")
    }
}

/// A token that was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct ChosenToken {
    /// The token.
    pub id: TokenId,
    /// How likely it was, where the request asks.
    pub logprobs: Option<Box<Logprobs>>,
}

impl ChosenToken {
    /// A token that was given and not chosen, and how likely it was by the model's `logits`, one per vocabulary entry. `None`
    /// where they say nothing: they are all NaN or minus infinity.
    pub fn scored(id: TokenId, logits: &[f32], num_top: usize) -> Option<Self> {
        argmax(logits)?;
        Some(Self {
            id,
            logprobs: Some(Box::new(Logprobs::new(logits, id, num_top))),
        })
    }
}

#[cfg(test)]
mod tests;
