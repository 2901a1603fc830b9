//! What the device should choose, in double precision and without haste.

use std::collections::HashMap;

use kernels::cuda::sampling::{NOTHING_LEFT, SampleRow};

/// Weights are single precision on the device: 1e-7 of a sum, as their errors do not add up.
pub(crate) const ROUNDING: f64 = 2e-7;

/// A row with what its ranges point at.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) row: SampleRow,
    pub(crate) bias: Vec<(u32, f32)>,
    pub(crate) stops: Vec<u32>,
    pub(crate) mask: Vec<u32>,
}

impl Request {
    pub(crate) fn new(row: SampleRow) -> Self {
        Self {
            row,
            bias: Vec::new(),
            stops: Vec::new(),
            mask: Vec::new(),
        }
    }

    pub(crate) fn masked(mut self, vocab_len: usize, allows: impl Fn(usize) -> bool) -> Self {
        self.mask = vec![0; vocab_len.div_ceil(32)];
        for token in (0..vocab_len).filter(|token| allows(*token)) {
            self.mask[token / 32] |= 1 << (token % 32);
        }
        self.row.flags |= SampleRow::MASKED;
        self
    }

    pub(crate) fn without_stops(mut self, stops: Vec<u32>) -> Self {
        self.stops = stops;
        self.row.flags |= SampleRow::BAN_STOPS;
        self
    }

    pub(crate) fn is(&self, flag: u32) -> bool {
        self.row.flags & flag != 0
    }
}

/// Whether a token is in the prompt, and how often in the output.
pub(crate) type Occurrences = HashMap<u32, (bool, u32)>;

pub(crate) fn shape(logits: &[f32], request: &Request, occurrences: &Occurrences) -> Vec<f32> {
    let row = &request.row;
    let mut logits = logits.to_vec();
    if request.is(SampleRow::MASKED) {
        for (token, logit) in logits.iter_mut().enumerate() {
            let word = request.mask.get(token / 32).copied().unwrap_or(0);
            if word >> (token % 32) & 1 == 0 {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
    if request.is(SampleRow::BAN_STOPS) {
        let masked = logits.clone();
        for &token in &request.stops {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        let is_left = logits.iter().any(|logit| *logit > f32::NEG_INFINITY);
        if request.is(SampleRow::MASKED) && !is_left {
            logits = masked;
        }
    }
    for &(token, bias) in &request.bias {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit += bias;
        }
    }
    if request.is(SampleRow::PENALTIES) {
        for (&token, &(_, output_len)) in occurrences {
            let logit = &mut logits[token as usize];
            if *logit > 0.0 {
                *logit /= row.repetition_penalty;
            } else {
                *logit *= row.repetition_penalty;
            }
            if output_len > 0 {
                *logit -= row.presence_penalty;
                *logit -= row.frequency_penalty * output_len as f32;
            }
        }
    }
    logits
}

pub(crate) fn argmax(logits: &[f32]) -> i32 {
    let (mut best, mut highest) = (NOTHING_LEFT, f32::NEG_INFINITY);
    for (token, &logit) in logits.iter().enumerate() {
        if logit > highest {
            (best, highest) = (token as i32, logit);
        }
    }
    best
}

pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(crate) fn uniform(row: &SampleRow) -> f64 {
    (mix(mix(row.seed) ^ row.position) >> 11) as f64 / (1u64 << 53) as f64
}

/// Tokens with their weights, likeliest first.
pub(crate) fn by_weight(shaped: &[f32], row: &SampleRow) -> Vec<(u32, f64)> {
    let mut tokens: Vec<(u32, f32)> = (0..).zip(shaped.iter().copied()).collect();
    tokens.retain(|(_, logit)| logit.is_finite());
    // Zero plus minus zero is zero: they are equal.
    tokens.sort_by(|a, b| (b.1 + 0.0).total_cmp(&(a.1 + 0.0)).then(a.0.cmp(&b.0)));
    if row.top_k > 0 {
        tokens.truncate(row.top_k as usize);
    }
    let Some(&(_, highest)) = tokens.first() else {
        return Vec::new();
    };
    let weight = |logit: f32| f64::from((logit - highest) / row.temperature).exp();
    tokens
        .iter()
        .map(|&(token, logit)| (token, weight(logit)))
        .collect()
}

/// What is drawn from tokens in the order of their weights.
pub(crate) fn draw(tokens: &[(u32, f64)], top_p: f64, min_p: f64, at: f64) -> i32 {
    let mut left = tokens.to_vec();
    if top_p < 1.0 {
        let enough = top_p * tokens.iter().map(|token| token.1).sum::<f64>();
        let mut reached = 0.0;
        let last = tokens.iter().position(|token| {
            reached += token.1;
            reached >= enough
        });
        left.truncate(last.map_or(tokens.len(), |last| last + 1));
    }
    left.retain(|token| token.1 >= min_p);
    left.sort_by_key(|token| token.0);
    let mut rest = at * left.iter().map(|token| token.1).sum::<f64>();
    for &(token, weight) in &left {
        rest -= weight;
        if rest < 0.0 {
            return token as i32;
        }
    }
    left.last().map_or(NOTHING_LEFT, |token| token.0 as i32)
}

/// Whether a choice is the reference's, or what it would be if sums were rounded otherwise.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Verdict {
    Same,
    Rounded,
    Wrong { want: i32 },
}

pub(crate) fn judge(
    got: i32,
    logits: &[f32],
    request: &Request,
    occurrences: &Occurrences,
) -> Verdict {
    let row = &request.row;
    let shaped = shape(logits, request, occurrences);
    let likeliest = argmax(&shaped);
    let tokens = match row.temperature {
        0.0 => Vec::new(),
        _ => by_weight(&shaped, row),
    };
    let same = |want| match got == want {
        true => Verdict::Same,
        false => Verdict::Wrong { want },
    };
    if tokens.is_empty() {
        return same(likeliest);
    }
    let (top_p, min_p, at) = (f64::from(row.top_p), f64::from(row.min_p), uniform(row));
    let want = draw(&tokens, top_p, min_p, at);
    if got == want {
        return Verdict::Same;
    }
    let near = [0.0, -ROUNDING, ROUNDING];
    let is_near = near.iter().any(|p| {
        near.iter().any(|m| {
            near.iter().any(|u| {
                let top_p = if row.top_p < 1.0 {
                    top_p * (1.0 + p)
                } else {
                    1.0
                };
                got == draw(&tokens, top_p, min_p * (1.0 + 2.0 * m), at + u)
            })
        })
    });
    if is_near {
        Verdict::Rounded
    } else {
        same(want)
    }
}
