//! How the next token is chosen from a row of logits.
//!
//! The random number of a token depends on the request's seed and the token's position and on nothing else, so a request
//! gives the same text in any batch, in any chunking and after any preemption.

use std::cmp::Ordering;

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
    /// Least probability relative to the likeliest token, in [0, 1]; 0 is off.
    pub min_p: f32,
    /// Key of the counter-based random numbers.
    pub seed: u64,
    /// Tokens that may not be chosen for a position below `forbidden_before` (how `min_tokens` keeps end tokens out).
    pub forbidden: Vec<TokenId>,
    /// The first position, counted from the sequence's first token, at which `forbidden` no longer holds.
    pub forbidden_before: usize,
}

impl Default for SamplingParams {
    /// Greedy.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            seed: 0,
            forbidden: Vec::new(),
            forbidden_before: 0,
        }
    }
}

/// Chooses the token at `position` (counted from the sequence's first token) from `logits`, one per vocabulary entry.
///
/// Temperature comes first, then top-k, then top-p over what is left, then min-p: vLLM's order for the first three; min-p
/// commutes with them, as it compares with the likeliest token only.
pub fn sample(logits: &[f32], params: &SamplingParams, position: usize) -> TokenId {
    let forbidden: &[TokenId] = if position < params.forbidden_before {
        &params.forbidden
    } else {
        &[]
    };
    if params.temperature <= 0.0 {
        return argmax(logits, forbidden);
    }
    let mut candidates: Vec<Candidate> = (0..)
        .zip(logits)
        .map(|(token, &logit)| Candidate { token, logit })
        .collect();
    candidates
        .retain(|candidate| candidate.logit.is_finite() && !forbidden.contains(&candidate.token));
    if candidates.is_empty() {
        return argmax(logits, forbidden);
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
    draw(&candidates, weight, uniform(params.seed, position))
}

#[derive(Clone, Copy)]
struct Candidate {
    token: TokenId,
    logit: f32,
}

/// A total order: equal logits go by token id, so that truncation never depends on the order of the input.
fn likelier_first(a: &Candidate, b: &Candidate) -> Ordering {
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

/// The index of the greatest logit that is not forbidden; the lowest index among equals; NaN never wins.
pub fn argmax(logits: &[f32], forbidden: &[TokenId]) -> TokenId {
    let mut best: Option<(TokenId, f32)> = None;
    for (token, &logit) in (0..).zip(logits) {
        if best.is_none_or(|(_, highest)| logit > highest)
            && !logit.is_nan()
            && !forbidden.contains(&token)
        {
            best = Some((token, logit));
        }
    }
    best.map_or(0, |(token, _)| token)
}

/// A number in [0, 1) from the seed and the position: two rounds of SplitMix64's finaliser (Steele, Lea, Flood 2014),
/// used as a keyed hash of a counter (the idea of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
fn uniform(seed: u64, position: usize) -> f64 {
    let bits = mix(mix(seed) ^ position as u64);
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
