//! A runner without a model, for tests of the engine and of servers around it.
//!
//! It keeps the tokens themselves where a model keeps keys and values, and makes logits out of all that it reads back
//! through the block table. A block with two owners, lost or filled out of order, changes the text.

mod residue;

use std::collections::VecDeque;

use crate::{
    random::mix,
    request::{Event, FinishReason, Pooling},
    runner::{ModelRunner, RowOutcome, RunnerLimits, Step, StepError, StepRow, TokenId, Want},
    sampling::{ChosenToken, Sampler, SamplingParams},
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

    /// What this runner reports of a prompt: how likely it finds each token after the first.
    pub fn expected_scores(
        prompt: &[TokenId],
        num_top: usize,
        vocab_len: usize,
    ) -> Vec<ChosenToken> {
        let score = |position: usize| {
            let logits = Self::logits_after(&prompt[..position], vocab_len);
            ChosenToken::scored(prompt[position], &logits, num_top).expect("the logits are numbers")
        };
        (1..prompt.len()).map(score).collect()
    }

    /// The vector that this runner makes of a text.
    pub fn expected_embedding(tokens: &[TokenId], pooling: Pooling, hidden_len: usize) -> Vec<f32> {
        let first = match pooling {
            Pooling::Last => tokens.len(),
            Pooling::Mean => 1,
        };
        let states =
            (first..=tokens.len()).map(|end| Self::state_after(&tokens[..end], hidden_len));
        let mean = |sum: f64| (sum / (tokens.len() + 1 - first) as f64) as f32;
        sum(states, hidden_len).into_iter().map(mean).collect()
    }

    /// The logits that this runner gives after `tokens`, each of which counts: numbers from -4 to 4.
    pub fn logits_after(tokens: &[TokenId], vocab_len: usize) -> Vec<f32> {
        numbers(hash(tokens), vocab_len)
    }

    /// The hidden state after `tokens`, likewise.
    fn state_after(tokens: &[TokenId], hidden_len: usize) -> Vec<f32> {
        numbers(mix(!hash(tokens)), hidden_len)
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
                Ok(_) => self.outcome(row).unwrap_or_else(RowOutcome::Failed),
                Err(why) => RowOutcome::Failed(why),
            })
            .collect())
    }

    /// What comes of a row, by what its blocks say the sequence's tokens are.
    fn outcome(&mut self, row: &StepRow<'_>) -> Result<RowOutcome, String> {
        let RunnerLimits {
            vocab_len,
            hidden_len,
            ..
        } = self.limits;
        let (start, end) = (row.start, row.start + row.len);
        Ok(match row.want {
            Want::Nothing => RowOutcome::Computed,
            Want::Token | Want::TokenAmong(_) => {
                let known = self.read_back(row)?;
                let rows: Vec<Vec<f32>> = (end..=known.len())
                    .map(|end| Self::logits_after(&known[..end], vocab_len))
                    .collect();
                let slot = self.pool.slot_mut(row.slot).expect("its tokens were there");
                slot.choose(row, rows.iter().map(Vec::as_slice))
            }
            Want::Scores { num_top } => {
                let known = self.read_back(row)?;
                let followers = self.pool.followers(row)?;
                let score = |(end, token): (usize, &TokenId)| {
                    let logits = Self::logits_after(&known[..end], vocab_len);
                    ChosenToken::scored(*token, &logits, num_top).expect("the logits are numbers")
                };
                RowOutcome::Scored((start + 1..).zip(followers).map(score).collect())
            }
            Want::Hidden(pooling) => {
                let known = self.read_back(row)?;
                let first = match pooling {
                    Pooling::Last => end,
                    Pooling::Mean => start + 1,
                };
                let states = (first..=end).map(|end| Self::state_after(&known[..end], hidden_len));
                RowOutcome::Hidden(sum(states, hidden_len))
            }
        })
    }

    /// The tokens of a row's sequence, from the first on, as they are in the cache.
    fn read_back(&self, row: &StepRow<'_>) -> Result<Vec<TokenId>, String> {
        let known = |position| self.cache[self.cache_slot(row, position)];
        let known: Option<_> = (0..row.start + row.len + row.drafts.len())
            .map(known)
            .collect();
        // A step before this one failed.
        known.ok_or_else(|| "its beginning was never computed".to_owned())
    }

    fn cache_slot(&self, row: &StepRow<'_>, position: usize) -> usize {
        let block_len = self.limits.block_len;
        row.blocks[position / block_len].0 as usize * block_len + position % block_len
    }
}

fn hash(tokens: &[TokenId]) -> u64 {
    let fold = |hash, token: &TokenId| mix(hash ^ u64::from(*token));
    tokens.iter().fold(0, fold)
}

/// So many numbers from -4 to 4, in steps of 2^-21: their sums are exact.
fn numbers(hash: u64, len: usize) -> Vec<f32> {
    let number = |index| (mix(hash ^ index) >> 40) as f32 / (1 << 21) as f32 - 4.0;
    (0..len as u64).map(number).collect()
}

fn sum(states: impl Iterator<Item = Vec<f32>>, hidden_len: usize) -> Vec<f64> {
    let mut sum = vec![0.0; hidden_len];
    for state in states {
        sum.iter_mut()
            .zip(state)
            .for_each(|(sum, number)| *sum += f64::from(number));
    }
    sum
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
