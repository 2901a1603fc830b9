//! What a sequence has said already, and what that does to its logits.

use std::collections::HashMap;

use super::SamplingParams;
use crate::runner::TokenId;

/// How often tokens occurred in one sequence. Empty for sequences without penalties.
#[derive(Debug, Default)]
pub(super) struct Occurrences(HashMap<TokenId, Occurrence>);

#[derive(Debug, Default)]
struct Occurrence {
    /// Times in the output. 0 for a token of the prompt only.
    output_len: u32,
}

impl Occurrences {
    pub(super) fn new(params: &SamplingParams, prompt: &[TokenId], output: &[TokenId]) -> Self {
        let mut occurrences = Self::default();
        if params.repetition_penalty != 1.0 {
            for &token in prompt {
                occurrences.0.entry(token).or_default();
            }
        }
        for &token in output {
            occurrences.count(params, token);
        }
        occurrences
    }

    /// A token was chosen.
    pub(super) fn count(&mut self, params: &SamplingParams, token: TokenId) {
        if params.has_penalties() {
            self.0.entry(token).or_default().output_len += 1;
        }
    }

    pub(super) fn apply(&self, params: &SamplingParams, logits: &mut [f32]) {
        for (&token, occurrence) in &self.0 {
            let Some(logit) = logits.get_mut(token as usize) else {
                continue;
            };
            if *logit > 0.0 {
                *logit /= params.repetition_penalty;
            } else {
                *logit *= params.repetition_penalty;
            }
            if occurrence.output_len > 0 {
                *logit -= params.presence_penalty;
                *logit -= params.frequency_penalty * occurrence.output_len as f32;
            }
        }
    }
}
