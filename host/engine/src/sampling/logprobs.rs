//! How likely a token was.

use super::choose::{Candidate, likelier_first};
use crate::runner::TokenId;

/// What minus infinity becomes, as JSON has no such number; vLLM's value.
const LEAST: f32 = -9999.0;

/// Natural logarithms of probabilities under the model's own distribution, before anything that a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Logprobs {
    /// Of the token that was chosen.
    pub chosen: f32,
    /// The likeliest tokens, likeliest first; the chosen one may be among them.
    pub top: Vec<(TokenId, f32)>,
}

impl Logprobs {
    /// Those of `chosen` and of the `num_top` likeliest tokens.
    pub(super) fn new(logits: &[f32], chosen: TokenId, num_top: usize) -> Self {
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits
            .iter()
            .filter(|logit| !logit.is_nan())
            .map(|&logit| f64::from(logit - highest).exp())
            .sum();
        let logprob = |logit: f32| {
            let logprob = f64::from(logit - highest) - sum.ln();
            if logprob.is_nan() {
                LEAST
            } else {
                (logprob as f32).max(LEAST)
            }
        };
        let mut top: Vec<Candidate> = (0..)
            .zip(logits)
            .filter(|(_, logit)| !logit.is_nan())
            .map(|(token, &logit)| Candidate { token, logit })
            .collect();
        if num_top < top.len() {
            top.select_nth_unstable_by(num_top, likelier_first);
            top.truncate(num_top);
        }
        top.sort_unstable_by(likelier_first);
        Self {
            chosen: logprob(logits[chosen as usize]),
            top: top
                .into_iter()
                .map(|candidate| (candidate.token, logprob(candidate.logit)))
                .collect(),
        }
    }
}
