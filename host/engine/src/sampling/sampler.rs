//! One sequence's choices: its settings, and what it has said so far.

use std::borrow::Cow;

use super::{ChosenToken, Logprobs, SamplingParams, choose::choose, penalties::Occurrences};
use crate::{constraint::TokenMask, runner::TokenId};

/// Chooses the tokens of one sequence, one after the other.
#[derive(Debug)]
pub struct Sampler {
    params: SamplingParams,
    prompt_len: usize,
    occurrences: Occurrences,
}

impl Sampler {
    /// For a sequence that has `tokens`, the first `prompt_len` of which are its prompt.
    pub fn new(params: &SamplingParams, tokens: &[TokenId], prompt_len: usize) -> Self {
        let (prompt, output) = tokens.split_at(prompt_len);
        Self {
            params: params.clone(),
            prompt_len,
            occurrences: Occurrences::new(params, prompt, output),
        }
    }

    /// Chooses the token at `position` (counted from the sequence's first token) from the model's logits, one per vocabulary
    /// entry, among those that `mask` allows. `None` where the logits leave no choice: they are all NaN or minus infinity.
    pub fn choose(
        &mut self,
        logits: &[f32],
        position: usize,
        mask: Option<&TokenMask>,
    ) -> Option<ChosenToken> {
        let shaped = self.shape(logits, position, mask);
        let id = choose(&shaped, &self.params, position)?;
        self.occurrences.count(&self.params, id);
        let logprobs = |num_top| Box::new(Logprobs::new(logits, id, num_top));
        Some(ChosenToken {
            id,
            logprobs: self.params.logprobs.map(logprobs),
        })
    }

    /// The logits after constraint, `min_tokens`, bias and penalties; the model's own where none of them applies.
    fn shape<'a>(
        &self,
        logits: &'a [f32],
        position: usize,
        mask: Option<&TokenMask>,
    ) -> Cow<'a, [f32]> {
        let params = &self.params;
        let may_not_stop = position - self.prompt_len < params.min_tokens;
        let is_plain = mask.is_none()
            && !may_not_stop
            && params.logit_bias.is_empty()
            && !params.has_penalties();
        if is_plain {
            return Cow::Borrowed(logits);
        }
        let mut logits = logits.to_vec();
        if let Some(mask) = mask {
            let forbidden = (0..)
                .zip(&mut logits)
                .filter(|(token, _)| !mask.allows(*token));
            forbidden.for_each(|(_, logit)| *logit = f32::NEG_INFINITY);
        }
        if may_not_stop {
            let masked = mask.map(|_| logits.clone());
            for &token in &params.stop_token_ids {
                if let Some(logit) = logits.get_mut(token as usize) {
                    *logit = f32::NEG_INFINITY;
                }
            }
            // A text whose form is complete has nothing to go on with.
            let goes_on = |logit: &f32| *logit > f32::NEG_INFINITY;
            if let Some(masked) = masked
                && !logits.iter().any(goes_on)
            {
                logits = masked;
            }
        }
        for &(token, bias) in &params.logit_bias {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit += bias;
            }
        }
        self.occurrences.apply(params, &mut logits);
        Cow::Owned(logits)
    }
}
