//! From one row of logits to a token.

use std::cmp::Ordering;

use super::SamplingParams;
use crate::{random::mix, runner::TokenId};

/// The token at `position` (counted from the sequence's first token), chosen from `logits`, one per vocabulary entry; those
/// of minus infinity are out. `None` where no logit is left.
///
/// Temperature comes first, then top-k, then top-p over what is left, then min-p; min-p commutes with them, as it compares
/// with the likeliest token only.
pub(super) fn choose(logits: &[f32], params: &SamplingParams, position: usize) -> Option<TokenId> {
    if params.temperature == 0.0 {
        return argmax(logits);
    }
    let mut candidates: Vec<Candidate> = (0..)
        .zip(logits)
        .map(|(token, &logit)| Candidate { token, logit })
        .collect();
    candidates.retain(|candidate| candidate.logit.is_finite());
    if candidates.is_empty() {
        return argmax(logits);
    }
    if params.top_k > 0 && params.top_k < candidates.len() {
        candidates.select_nth_unstable_by(params.top_k - 1, likelier_first);
        candidates.truncate(params.top_k);
        candidates.sort_unstable_by(likelier_first);
    }
    let highest = candidates
        .iter()
        .map(|candidate| candidate.logit)
        .fold(f32::NEG_INFINITY, f32::max);
    let weight =
        |candidate: &Candidate| f64::from((candidate.logit - highest) / params.temperature).exp();
    if params.top_p < 1.0 {
        keep_nucleus(&mut candidates, f64::from(params.top_p), weight);
    }
    if params.min_p > 0.0 {
        candidates.retain(|candidate| weight(candidate) >= f64::from(params.min_p));
    }
    Some(draw(&candidates, weight, uniform(params.seed, position)))
}

/// The token of the greatest logit; the lowest id among equals; NaN and minus infinity never win.
pub fn argmax(logits: &[f32]) -> Option<TokenId> {
    let mut best = None;
    let mut highest = f32::NEG_INFINITY;
    for (token, &logit) in (0..).zip(logits) {
        if logit > highest {
            (best, highest) = (Some(token), logit);
        }
    }
    best
}

#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub(super) token: TokenId,
    pub(super) logit: f32,
}

/// A total order: equal logits go by token id, so that truncation never depends on the order of the input.
pub(super) fn likelier_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token))
}

/// Leaves the smallest set of likeliest candidates whose share of the weight reaches `mass`.
///
/// Sorting a whole vocabulary costs milliseconds and the nucleus is nearly always small, so ever larger heads are sorted
/// until one is enough.
fn keep_nucleus(candidates: &mut Vec<Candidate>, mass: f64, weight: impl Fn(&Candidate) -> f64) {
    let enough = mass * candidates.iter().map(&weight).sum::<f64>();
    let mut head_len = 64;
    loop {
        head_len = candidates.len().min(head_len * 8);
        if head_len < candidates.len() {
            candidates.select_nth_unstable_by(head_len - 1, likelier_first);
        }
        candidates[..head_len].sort_unstable_by(likelier_first);
        let mut reached = 0.0;
        let nucleus = candidates[..head_len].iter().position(|candidate| {
            reached += weight(candidate);
            reached >= enough
        });
        match nucleus {
            Some(last) => return candidates.truncate(last + 1),
            None if head_len == candidates.len() => return,
            None => {}
        }
    }
}

/// The candidate in whose share of the weight the number `at` in [0, 1) falls.
fn draw(candidates: &[Candidate], weight: impl Fn(&Candidate) -> f64, at: f64) -> TokenId {
    let mut left = at * candidates.iter().map(&weight).sum::<f64>();
    for candidate in candidates {
        left -= weight(candidate);
        if left < 0.0 {
            return candidate.token;
        }
    }
    // Rounding can leave a crumb behind the last share.
    candidates
        .last()
        .expect("the likeliest candidate passes every filter")
        .token
}

/// A number in [0, 1) from the seed and the position: a keyed hash of a counter, as in Salmon et al., "Parallel random numbers:
/// as easy as 1, 2, 3" (2011).
fn uniform(seed: u64, position: usize) -> f64 {
    let bits = mix(mix(seed) ^ position as u64);
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
