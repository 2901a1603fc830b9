//! How the next token is chosen from a row of logits.

use crate::runner::TokenId;

/// One request's way of choosing tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingParams {
    /// 0 is greedy.
    pub temperature: f32,
    /// Nucleus probability mass in (0, 1]; 1 is off.
    pub top_p: f32,
    /// How many of the likeliest tokens stay; 0 is off.
    pub top_k: usize,
    /// Least probability relative to the likeliest token, in [0, 1); 0 is off.
    pub min_p: f32,
    /// Key of the counter-based random numbers.
    pub seed: u64,
}

/// Chooses the token at `position` (counted from the sequence's first token) from `logits` (one per vocabulary entry).
pub fn sample(logits: &[f32], params: &SamplingParams, position: usize) -> TokenId {
    let _ = (params, position);
    argmax(logits)
}

/// The index of the greatest logit; the lowest index among equals; NaN never wins.
pub fn argmax(logits: &[f32]) -> TokenId {
    let mut best = 0;
    for (index, &logit) in logits.iter().enumerate() {
        if logit > logits[best] || logits[best].is_nan() {
            best = index;
        }
    }
    best as TokenId
}
