//! A runner without a model, for tests of the engine and of servers around it.
//!
//! It keeps the tokens themselves where a model keeps keys and values, and makes logits out of all that it reads back
//! through the block table. A block with two owners, lost or filled out of order, changes the text.

mod residue;

use std::collections::VecDeque;

use crate::{
    random::mix,
    request::{Event, FinishReason},
    runner::{ModelRunner, RowOutcome, RunnerLimits, Step, StepError, StepRow, TokenId, Want},
    sampling::{Sampler, SamplingParams},
    token_pool::TokenPool,
};

pub use self::residue::Residue;

/// See the module.
#[derive(Debug)]
pub struct FakeRunner {
    limits: RunnerLimits,
    cache: Vec<Option<TokenId>>,
    pool: TokenPool,
    under_way: VecDeque<Result<Vec<RowOutcome>, StepError>>,
    /// What the next steps do instead of succeeding.
    failures: VecDeque<Option<StepError>>,
    /// A step with a row that computes this token fails.
    poison: Option<TokenId>,
}

impl FakeRunner {
    /// A runner with an empty cache.
    pub fn new(limits: RunnerLimits) -> Self {
        let cache = vec![None; limits.num_blocks * limits.block_len];
        Self {
            limits,
            cache,
            pool: TokenPool::default(),
            under_way: VecDeque::new(),
            failures: VecDeque::new(),
            poison: None,
        }
    }

    /// Makes step number `failures.len()` and those before it fail where an entry says so.
    pub fn with_failures(mut self, failures: impl IntoIterator<Item = Option<StepError>>) -> Self {
        self.failures.extend(failures);
        self
    }

    /// Makes every step fail that computes this token.
    pub fn with_poison(mut self, token: TokenId) -> Self {
        self.poison = Some(token);
        self
    }

    /// What this runner answers greedily to `prompt`: `len` tokens.
    pub fn expected(prompt: &[TokenId], len: usize, vocab_len: usize) -> Vec<TokenId> {
        Self::expected_with(prompt, len, vocab_len, &SamplingParams::default())
    }

    /// What this runner answers to `prompt` without a constraint: `len` tokens, whatever ends the sequence earlier.
    pub fn expected_with(
        prompt: &[TokenId],
        len: usize,
        vocab_len: usize,
        sampling: &SamplingParams,
    ) -> Vec<TokenId> {
        let mut tokens = prompt.to_vec();
        let mut sampler = Sampler::new(sampling, prompt, prompt.len());
        for _ in 0..len {
            let logits = Self::logits_after(&tokens, vocab_len);
            let token = sampler.choose(&logits, tokens.len(), None);
            tokens.push(token.expect("the logits are numbers").id);
        }
        tokens.split_off(prompt.len())
    }

    /// What a request for up to `max_tokens` tokens reports of this runner: its tokens and its end. The engine's own rules, without
    /// an engine.
    pub fn answer(
        prompt: &[TokenId],
        max_tokens: usize,
        vocab_len: usize,
        sampling: &SamplingParams,
        form: Option<&Residue>,
    ) -> (Vec<TokenId>, Event) {
        let mask = form.map(Residue::mask);
        let mut sampler = Sampler::new(sampling, prompt, prompt.len());
        let mut tokens = prompt.to_vec();
        let (reason, stop_token) = loop {
            let answer_len = tokens.len() - prompt.len();
            if answer_len == max_tokens {
                break (FinishReason::Length, None);
            }
            if form.is_some_and(|form| form.len == answer_len) {
                break (FinishReason::Stop, None);
            }
            let logits = Self::logits_after(&tokens, vocab_len);
            let token = sampler.choose(&logits, tokens.len(), mask.as_ref());
            let token = token.expect("there is a token to choose");
            if sampling.stop_token_ids.contains(&token.id) {
                break (FinishReason::Stop, Some(token));
            }
            tokens.push(token.id);
        };
        let end = Event::Finished { reason, stop_token };
        (tokens.split_off(prompt.len()), end)
    }

    /// The logits that this runner gives after `tokens`, each of which counts: numbers from -4 to 4.
    pub fn logits_after(tokens: &[TokenId], vocab_len: usize) -> Vec<f32> {
        let fold = |hash, token: &TokenId| mix(hash ^ u64::from(*token));
        let hash = tokens.iter().fold(0, fold);
        let logit = |token| (mix(hash ^ token) >> 40) as f32 / (1 << 21) as f32 - 4.0;
        (0..vocab_len as u64).map(logit).collect()
    }

    fn compute(&mut self, rows: &[StepRow<'_>]) -> Result<Vec<RowOutcome>, StepError> {
        let inputs: Vec<_> = rows.iter().map(|row| self.pool.tokens(row)).collect();
        let is_poisoned = |token: &TokenId| Some(*token) == self.poison;
        if inputs.iter().flatten().flatten().any(is_poisoned) {
            return Err(StepError::Failed("poison".into()));
        }
        if let Some(Some(failure)) = self.failures.pop_front() {
            return Err(failure);
        }
        // All writes come first, as on a device where rows run side by side.
        for (row, tokens) in rows.iter().zip(&inputs) {
            for (offset, &token) in tokens.iter().flatten().enumerate() {
                let slot = self.cache_slot(row, row.start + offset);
                self.cache[slot] = Some(token);
            }
        }
        Ok(rows
            .iter()
            .zip(inputs)
            .map(|(row, tokens)| match tokens {
                Ok(_) => self.choose(row),
                Err(why) => RowOutcome::Failed(why),
            })
            .collect())
    }

    fn choose(&mut self, row: &StepRow<'_>) -> RowOutcome {
        if matches!(row.want, Want::Nothing) {
            return RowOutcome::Computed;
        }
        let end = row.start + row.len;
        let known = |position| self.cache[self.cache_slot(row, position)];
        let known: Option<Vec<TokenId>> = (0..end + row.drafts.len()).map(known).collect();
        let Some(known) = known else {
            // A step before this one failed.
            return RowOutcome::Failed("its beginning was never computed".into());
        };
        let rows: Vec<Vec<f32>> = (end..=known.len())
            .map(|end| Self::logits_after(&known[..end], self.limits.vocab_len))
            .collect();
        let slot = self.pool.slot_mut(row.slot).expect("its tokens were there");
        slot.choose(row, rows.iter().map(Vec::as_slice))
    }

    fn cache_slot(&self, row: &StepRow<'_>, position: usize) -> usize {
        let block_len = self.limits.block_len;
        row.blocks[position / block_len].0 as usize * block_len + position % block_len
    }
}

impl ModelRunner for FakeRunner {
    fn limits(&self) -> &RunnerLimits {
        &self.limits
    }

    fn launch(&mut self, step: &Step<'_>) {
        for admission in step.admissions {
            self.pool.admit(admission);
        }
        let outcome = self.compute(step.rows);
        self.under_way.push_back(outcome);
    }

    fn collect(&mut self) -> Result<Vec<RowOutcome>, StepError> {
        self.under_way.pop_front().expect("a step was launched")
    }
}
