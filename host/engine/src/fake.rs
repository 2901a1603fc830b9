//! A runner without a model, for tests of the engine and of servers around it.
//!
//! It keeps the tokens themselves where a model keeps keys and values, and makes the next token out of all that it reads
//! back through the block table. A block with two owners, lost or filled out of order, changes the text.

use std::collections::VecDeque;

use crate::runner::{ModelRunner, RunnerLimits, StepError, StepRow, TokenId};

/// See the module.
#[derive(Debug)]
pub struct FakeRunner {
    limits: RunnerLimits,
    cache: Vec<Option<TokenId>>,
    /// What the next steps do instead of succeeding.
    failures: VecDeque<Option<StepError>>,
}

impl FakeRunner {
    /// A runner with an empty cache.
    pub fn new(limits: RunnerLimits) -> Self {
        let cache = vec![None; limits.num_blocks * limits.block_len];
        Self {
            limits,
            cache,
            failures: VecDeque::new(),
        }
    }

    /// Makes step number `failures.len()` and those before it fail where an entry says so.
    pub fn with_failures(mut self, failures: impl IntoIterator<Item = Option<StepError>>) -> Self {
        self.failures.extend(failures);
        self
    }

    /// What this runner answers to `prompt`: `len` tokens.
    pub fn expected(prompt: &[TokenId], len: usize, vocab_len: usize) -> Vec<TokenId> {
        let mut tokens = prompt.to_vec();
        for _ in 0..len {
            tokens.push(next_token(tokens.iter().copied(), vocab_len));
        }
        tokens.split_off(prompt.len())
    }
}

fn next_token(tokens: impl Iterator<Item = TokenId>, vocab_len: usize) -> TokenId {
    let hash = tokens.fold(0xcbf2_9ce4_8422_2325u64, |hash, token| {
        (hash ^ u64::from(token))
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(17)
    });
    (hash % vocab_len as u64) as TokenId
}

impl ModelRunner for FakeRunner {
    fn limits(&self) -> &RunnerLimits {
        &self.limits
    }

    fn step(&mut self, rows: &[StepRow<'_>]) -> Result<Vec<Option<TokenId>>, StepError> {
        if let Some(Some(failure)) = self.failures.pop_front() {
            return Err(failure);
        }
        let block_len = self.limits.block_len;
        let slot = |row: &StepRow<'_>, position: usize| {
            row.blocks[position / block_len].0 as usize * block_len + position % block_len
        };
        for row in rows {
            for (offset, &token) in row.tokens.iter().enumerate() {
                self.cache[slot(row, row.start + offset)] = Some(token);
            }
        }
        let chosen = rows.iter().map(|row| {
            row.sample.map(|_| {
                let known = (0..row.start + row.tokens.len()).map(|position| {
                    self.cache[slot(row, position)]
                        .expect("every position before the last was computed")
                });
                next_token(known, self.limits.vocab_len)
            })
        });
        Ok(chosen.collect())
    }
}
