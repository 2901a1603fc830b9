//! The seam between the engine, which plans, and a model, which computes.

use crate::sampling::SamplingParams;

/// Index into the model's vocabulary.
pub type TokenId = u32;

/// Index of a block of the paged key/value cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u32);

/// What a runner offers, fixed for its lifetime.
#[derive(Clone, Debug)]
pub struct RunnerLimits {
    /// Tokens whose keys and values one block holds.
    pub block_len: usize,
    /// Blocks in the pool.
    pub num_blocks: usize,
    /// Logits per position; every token id is below it.
    pub vocab_len: usize,
    /// The longest sequence, in tokens.
    pub max_model_len: usize,
}

impl RunnerLimits {
    /// The longest sequence, in tokens, that the model can read and the pool can hold. One that could not own all its blocks
    /// at once could never end.
    pub fn max_sequence_len(&self) -> usize {
        self.max_model_len.min(self.num_blocks * self.block_len)
    }
}

/// The part of one sequence that a step computes.
#[derive(Clone, Debug)]
pub struct StepRow<'a> {
    /// The tokens to compute, at positions `start..start + tokens.len()`. Never empty.
    pub tokens: &'a [TokenId],
    /// How many tokens of the sequence are in the cache already.
    pub start: usize,
    /// The sequence's blocks in order, enough for `start + tokens.len()` tokens.
    pub blocks: &'a [BlockId],
    /// How to choose the token after the last one; `None` where more of the prompt is still to come.
    pub sample: Option<&'a SamplingParams>,
}

/// Why a step gave no tokens.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StepError {
    /// The rows of this step are lost; the runner can go on with others.
    #[error("model step failed: {0}")]
    Failed(String),
    /// The runner is of no further use; the process must end and be restarted.
    #[error("model runner is broken: {0}")]
    Fatal(String),
}

/// Executes steps of a model over a paged key/value cache that it owns.
pub trait ModelRunner: Send {
    /// What the engine may ask of it.
    fn limits(&self) -> &RunnerLimits;

    /// Computes all rows, writes their keys and values to their blocks, and returns for each row the token chosen, in the
    /// order of `rows`; `None` where `sample` was `None`. A row's result does not depend on the rows beside it.
    fn step(&mut self, rows: &[StepRow<'_>]) -> Result<Vec<Option<TokenId>>, StepError>;
}
