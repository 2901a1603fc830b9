//! The CPU's `ModelRunner`.

mod choose;
mod input;

use std::collections::{HashSet, VecDeque};
use std::ops::Range;

use engine::runner::{ModelRunner, RowOutcome, RunnerLimits, Step, StepError, StepRow, TokenId};
use engine::token_pool::TokenPool;
use kernels::Span;

use crate::decoder::{Batch, Decoder};

use self::choose::{choose, wanted_of};
pub use self::input::Input;
pub(crate) use self::input::check_row;

/// Which positions logits are wanted of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// Each input's last.
    Last,
    /// Every one.
    All,
}

/// Runs a dense decoder on the CPU. `launch` waits for the result: `engine::ComputeThread` is what lets the engine go on
/// meanwhile.
pub struct CpuRunner {
    decoder: Decoder,
    limits: RunnerLimits,
    pool: TokenPool,
    /// The outcomes of steps that were launched and not collected yet.
    outcomes: VecDeque<Vec<RowOutcome>>,
    num_parameters: u64,
    weight_bytes: u64,
}

impl CpuRunner {
    pub(crate) fn new(
        decoder: Decoder,
        limits: RunnerLimits,
        num_parameters: u64,
        weight_bytes: u64,
    ) -> Self {
        Self {
            decoder,
            limits,
            pool: TokenPool::default(),
            outcomes: VecDeque::new(),
            num_parameters,
            weight_bytes,
        }
    }

    /// Weights of the model, a tied head counted once.
    pub fn num_parameters(&self) -> u64 {
        self.num_parameters
    }

    /// Bytes that the weights take in memory.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    /// Threads in use.
    pub fn num_threads(&self) -> usize {
        self.decoder.cpu().team().num_threads()
    }

    /// The instruction set in use.
    pub fn instruction_set(&self) -> &'static str {
        self.decoder.cpu().isa().name()
    }

    /// Computes all inputs as a step does, and returns logits (`vocab_len` each) instead of tokens: input after input, and
    /// within an input position after position.
    pub fn logits(
        &mut self,
        inputs: &[Input<'_>],
        positions: Positions,
    ) -> Result<Vec<Vec<f32>>, StepError> {
        for (index, input) in inputs.iter().enumerate() {
            input
                .check(&self.limits)
                .map_err(|reason| StepError::Failed(format!("input {index}: {reason}")))?;
        }
        let wanted = |input: &Input<'_>| match positions {
            Positions::Last => input.tokens.len() - 1..input.tokens.len(),
            Positions::All => 0..input.tokens.len(),
        };
        let inputs: Vec<_> = inputs.iter().map(|input| (*input, wanted(input))).collect();
        let logits = self.forward(&inputs);
        let rows = logits.chunks_exact(self.limits.vocab_len);
        Ok(rows.map(<[f32]>::to_vec).collect())
    }

    /// Runs the decoder over sound inputs; logits come of the tokens of each that are named beside it.
    fn forward(&mut self, inputs: &[(Input<'_>, Range<usize>)]) -> Vec<f32> {
        if inputs.is_empty() {
            return Vec::new();
        }
        let block_ids = |input: &Input<'_>| input.blocks.iter().map(|block| block.0).collect();
        let blocks: Vec<Vec<u32>> = inputs.iter().map(|(input, _)| block_ids(input)).collect();
        let mut batch = Batch {
            tokens: Vec::new(),
            spans: Vec::with_capacity(inputs.len()),
        };
        let mut indices = Vec::new();
        for ((input, wanted), blocks) in inputs.iter().zip(&blocks) {
            let first_row = batch.tokens.len();
            indices.extend(wanted.clone().map(|offset| first_row + offset));
            batch.tokens.extend_from_slice(input.tokens);
            batch.spans.push(Span {
                first_row,
                len: input.tokens.len(),
                start: input.start,
                blocks,
            });
        }
        self.decoder.forward(&batch, &indices)
    }

    /// Computes the rows that can be computed, whatever the others are, and chooses their tokens.
    fn compute(&mut self, rows: &[StepRow<'_>]) -> Vec<RowOutcome> {
        let tokens = self.tokens_of(rows);
        let mut sound = Vec::with_capacity(rows.len());
        let mut inputs = Vec::with_capacity(rows.len());
        for (row, tokens) in rows.iter().zip(&tokens) {
            let Ok(tokens) = tokens else { continue };
            let input = Input {
                tokens,
                start: row.start,
                blocks: row.blocks,
            };
            sound.push(row);
            inputs.push((input, wanted_of(row)));
        }
        let logits = self.forward(&inputs);
        let team = self.decoder.cpu().team();
        let mut outcomes = choose(&mut self.pool, team, &sound, &logits, self.limits.vocab_len);
        let outcome = |(row, tokens): (&StepRow<'_>, Result<_, String>)| match tokens {
            Err(why) => RowOutcome::Failed(why),
            Ok(_) => outcomes.remove(&row.slot).expect("a sound row has one"),
        };
        rows.iter().zip(tokens).map(outcome).collect()
    }

    /// The tokens of each row, or why it cannot be computed.
    fn tokens_of(&self, rows: &[StepRow<'_>]) -> Vec<Result<Vec<TokenId>, String>> {
        let mut slots = HashSet::new();
        let tokens = |row: &StepRow<'_>| match slots.insert(row.slot) {
            true => input::tokens_of(row, &self.pool, &self.limits),
            false => Err(format!("slot {} has a row already", row.slot.0)),
        };
        rows.iter().map(tokens).collect()
    }
}

impl ModelRunner for CpuRunner {
    fn limits(&self) -> &RunnerLimits {
        &self.limits
    }

    fn launch(&mut self, step: &Step<'_>) {
        for admission in step.admissions {
            self.pool.admit(admission);
        }
        let outcomes = self.compute(step.rows);
        self.outcomes.push_back(outcomes);
    }

    fn collect(&mut self) -> Result<Vec<RowOutcome>, StepError> {
        Ok(self.outcomes.pop_front().expect("a step was launched"))
    }
}
