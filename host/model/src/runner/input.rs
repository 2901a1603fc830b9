//! What a step may be asked to compute. A wrong row is a fault of the engine, but it must not take down the process.

use engine::{
    TokenId,
    runner::{BlockId, RunnerLimits, StepRow, Want},
    token_pool::TokenPool,
};

/// Tokens of one sequence to compute.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The tokens from position `start` on; at least one.
    pub tokens: &'a [TokenId],
    /// How many tokens of the sequence are in the cache already.
    pub start: usize,
    /// The sequence's blocks in order, enough for all its tokens up to the last of these.
    pub blocks: &'a [BlockId],
}

impl Input<'_> {
    /// Whether the model can compute it.
    pub(super) fn check(&self, limits: &RunnerLimits) -> Result<(), String> {
        check_place(self.start, self.tokens.len(), self.blocks, limits)?;
        check_tokens(self.tokens, limits)
    }
}

/// The tokens that a row computes, if the model can compute it.
pub(super) fn tokens_of(
    row: &StepRow<'_>,
    pool: &TokenPool,
    limits: &RunnerLimits,
) -> Result<Vec<TokenId>, String> {
    // Before the tokens are asked for: after it no sum of positions overflows.
    check_row(row, limits)?;
    let tokens = pool.tokens(row)?;
    check_tokens(&tokens, limits)?;
    Ok(tokens)
}

/// Whether a row's place and shape are ones that a model can compute, whatever its tokens.
pub(crate) fn check_row(row: &StepRow<'_>, limits: &RunnerLimits) -> Result<(), String> {
    if row.len == 0 {
        return Err("it has no tokens".to_owned());
    }
    if !row.drafts.is_empty() && !matches!(row.want, Want::Token) {
        return Err("it has drafts, which only a free choice can check".to_owned());
    }
    let len = row.len.saturating_add(row.drafts.len());
    check_place(row.start, len, row.blocks, limits)
}

fn check_place(
    start: usize,
    len: usize,
    blocks: &[BlockId],
    limits: &RunnerLimits,
) -> Result<(), String> {
    let end = start.saturating_add(len);
    if len == 0 {
        return Err("it has no tokens".to_owned());
    }
    if end > limits.max_model_len {
        return Err(format!(
            "it ends at position {end}, the longest sequence is {}",
            limits.max_model_len
        ));
    }
    if blocks.len() < end.div_ceil(limits.block_len) {
        return Err(format!("{} blocks do not hold {end} tokens", blocks.len()));
    }
    let is_unknown = |block: &&BlockId| block.0 as usize >= limits.num_blocks;
    match blocks.iter().find(is_unknown) {
        Some(block) => Err(format!(
            "block {} is not among the {}",
            block.0, limits.num_blocks
        )),
        None => Ok(()),
    }
}

fn check_tokens(tokens: &[TokenId], limits: &RunnerLimits) -> Result<(), String> {
    let is_unknown = |token: &&TokenId| **token as usize >= limits.vocab_len;
    match tokens.iter().find(is_unknown) {
        Some(token) => Err(format!(
            "token {token} is not in the vocabulary of {}",
            limits.vocab_len
        )),
        None => Ok(()),
    }
}
