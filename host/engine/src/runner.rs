//! The seam between the engine, which plans, and a model, which computes.
//!
//! A runner keeps the tokens of the sequences that run, each in a slot, and adds those that it chooses. So a step can be
//! launched before the tokens of the one before it have been read: it says which positions to compute, not which tokens.

use crate::{
    constraint::PendingMask,
    request::Pooling,
    sampling::{ChosenToken, SamplingParams},
};

/// Index into the model's vocabulary.
pub type TokenId = u32;

/// Index of a block of the paged key/value cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u32);

/// A running sequence's place in the runner, below the engine's `max_num_seqs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub u32);

/// What a runner offers, fixed for its lifetime.
#[derive(Clone, Debug)]
pub struct RunnerLimits {
    /// Tokens whose keys and values one block holds.
    pub block_len: usize,
    /// Blocks in the pool.
    pub num_blocks: usize,
    /// Logits per position; every token id is below it.
    pub vocab_len: usize,
    /// Numbers in a hidden state, and so in an embedding.
    pub hidden_len: usize,
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

/// A sequence that takes a slot. Whatever was in the slot before is forgotten.
#[derive(Clone, Copy, Debug)]
pub struct Admission<'a> {
    /// The slot.
    pub slot: SlotId,
    /// All tokens of the sequence so far: a new one's prompt, or prompt and answer of one that goes on after a preemption.
    pub tokens: &'a [TokenId],
    /// How many of them are the prompt.
    pub prompt_len: usize,
    /// How its tokens are chosen.
    pub sampling: &'a SamplingParams,
}

/// The part of one sequence that a step computes.
#[derive(Clone, Copy, Debug)]
pub struct StepRow<'a> {
    /// Whose.
    pub slot: SlotId,
    /// How many tokens of the sequence are in the cache already.
    pub start: usize,
    /// How many to compute, at positions `start..start + len`; at least 1. The slot knows them, or will once the steps launched
    /// before this one have been computed.
    pub len: usize,
    /// Guesses at the tokens from position `start + len` on, computed with the others. Only where a token is wanted.
    pub drafts: &'a [TokenId],
    /// The sequence's blocks in order, enough for `start + len + drafts.len()` tokens.
    pub blocks: &'a [BlockId],
    /// What is to come of it.
    pub want: Want<'a>,
}

/// What a row is computed for.
#[derive(Clone, Copy, Debug)]
pub enum Want<'a> {
    /// Keys and values only: more of the prompt is still to come.
    Nothing,
    /// The token after the last one; and where that was guessed, the one after it, until a guess is wrong.
    Token,
    /// The token after the last one, among these, which need not be known before the token is chosen. Never with drafts.
    TokenAmong(&'a PendingMask),
    /// How likely each token was that follows one of these, which the slot knows: those at positions `start + 1..=start + len`.
    /// Never with drafts.
    Scores {
        /// How many of the likeliest tokens are named with each.
        num_top: usize,
    },
    /// The hidden state after the last norm: the last token's, or the sum of all. Never with drafts.
    Hidden(Pooling),
}

impl Want<'_> {
    /// Whether a token is to be chosen.
    pub fn is_token(&self) -> bool {
        matches!(self, Self::Token | Self::TokenAmong(_))
    }
}

/// What is computed together.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Sequences that take slots. They do so even if the step fails.
    pub admissions: &'a [Admission<'a>],
    /// The rows, at most one of a slot.
    pub rows: &'a [StepRow<'a>],
}

/// What came of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum RowOutcome {
    /// Its keys and values are in the cache; no token was wanted.
    Computed,
    /// The tokens chosen, at least one: the drafts that were right and the token after them. The slot has them too.
    Chosen(Vec<ChosenToken>),
    /// Its keys and values are in the cache, but when its token was to be chosen the mask had not come. The row's last token
    /// will be computed again for its logits.
    Undecided,
    /// The tokens that follow the row's, as many as it has, each with how likely it was.
    Scored(Vec<ChosenToken>),
    /// The hidden state that was wanted, or the sum of those that were: `hidden_len` numbers, so wide that the order in which
    /// parts of a sum are added does not show in a mean of single precision.
    Hidden(Vec<f64>),
    /// This row alone is lost.
    Failed(String),
}

/// Why a step as a whole came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StepError {
    /// No slot has changed since the step's admissions; the runner can go on. Which row is to blame is not known.
    #[error("model step failed: {0}")]
    Failed(String),
    /// The runner is of no further use; the process must end and be restarted.
    #[error("model runner is broken: {0}")]
    Fatal(String),
}

/// Executes steps of a model over a paged key/value cache that it owns. Steps take effect in the order of their launch.
pub trait ModelRunner: Send {
    /// What the engine may ask of it.
    fn limits(&self) -> &RunnerLimits;

    /// Begins a step. At most two are under way at a time. Where this waits for the result there is nothing to overlap.
    fn launch(&mut self, step: &Step<'_>);

    /// Waits for the oldest step under way and returns what came of its rows, in their order. A row's outcome does not depend
    /// on the rows beside it.
    fn collect(&mut self) -> Result<Vec<RowOutcome>, StepError>;
}
