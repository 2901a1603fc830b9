//! The CPU's `ModelRunner`.

mod choose;
mod input;
mod pool;
mod score;

use std::collections::{HashMap, HashSet, VecDeque};

use engine::runner::{
    ModelRunner, RowOutcome, RunnerLimits, Step, StepError, StepRow, TokenId, Want,
};
use engine::token_pool::TokenPool;
use kernels::Span;

use crate::decoder::{Batch, Decoder};

use self::choose::{choose, wanted_of};
pub use self::input::Input;
pub(crate) use self::input::check_row;
use self::pool::pool;
use self::score::score;

/// Which positions logits or hidden states are wanted of.
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
        let tokens = self.compute_inputs(inputs, positions)?;
        let logits = self.decoder.logits(&tokens);
        let rows = logits.chunks_exact(self.limits.vocab_len);
        Ok(rows.map(<[f32]>::to_vec).collect())
    }

    /// The same with hidden states after the last norm (`hidden_len` numbers each) instead of logits.
    pub fn hidden(
        &mut self,
        inputs: &[Input<'_>],
        positions: Positions,
    ) -> Result<Vec<Vec<f32>>, StepError> {
        let tokens = self.compute_inputs(inputs, positions)?;
        let states = self.decoder.hidden(&tokens);
        let rows = states.chunks_exact(self.limits.hidden_len);
        Ok(rows.map(<[f32]>::to_vec).collect())
    }

    /// Computes the inputs, and returns which tokens of the batch are those of `positions`.
    fn compute_inputs(
        &mut self,
        inputs: &[Input<'_>],
        positions: Positions,
    ) -> Result<Vec<usize>, StepError> {
        for (index, input) in inputs.iter().enumerate() {
            input
                .check(&self.limits)
                .map_err(|reason| StepError::Failed(format!("input {index}: {reason}")))?;
        }
        let wanted = |input: &Input<'_>| match positions {
            Positions::Last => input.tokens.len() - 1..input.tokens.len(),
            Positions::All => 0..input.tokens.len(),
        };
        let first_tokens = self.forward(inputs);
        let tokens = inputs
            .iter()
            .zip(first_tokens)
            .flat_map(|(input, first)| wanted(input).map(move |offset| first + offset));
        Ok(tokens.collect())
    }

    /// Runs the decoder over sound inputs, and returns which token of the batch is each one's first.
    fn forward(&mut self, inputs: &[Input<'_>]) -> Vec<usize> {
        if inputs.is_empty() {
            return Vec::new();
        }
        let block_ids = |input: &Input<'_>| input.blocks.iter().map(|block| block.0).collect();
        let blocks: Vec<Vec<u32>> = inputs.iter().map(block_ids).collect();
        let mut batch = Batch {
            tokens: Vec::new(),
            spans: Vec::with_capacity(inputs.len()),
        };
        for (input, blocks) in inputs.iter().zip(&blocks) {
            let first_row = batch.tokens.len();
            batch.tokens.extend_from_slice(input.tokens);
            batch.spans.push(Span {
                first_row,
                len: input.tokens.len(),
                start: input.start,
                blocks,
            });
        }
        self.decoder.forward(&batch);
        batch.spans.iter().map(|span| span.first_row).collect()
    }

    /// Computes the rows that can be computed, whatever the others are, and gives each what it wants.
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
            inputs.push(input);
        }
        let first_tokens = self.forward(&inputs);
        let mut outcomes = HashMap::with_capacity(sound.len());
        let (mut choosing, mut chosen_after) = (Vec::with_capacity(sound.len()), Vec::new());
        for (row, first) in sound.into_iter().zip(first_tokens) {
            match row.want {
                Want::Nothing | Want::Token | Want::TokenAmong(_) => {
                    choosing.push(row);
                    chosen_after.extend(wanted_of(row).map(|offset| first + offset));
                }
                Want::Scores { num_top } => {
                    let followers = self.pool.followers(row);
                    let scored = followers.and_then(|followers| {
                        let vocab_len = self.limits.vocab_len;
                        let scores = score(&self.decoder, first, followers, num_top, vocab_len);
                        scores.ok_or_else(|| no_number(row))
                    });
                    let outcome = scored.map_or_else(RowOutcome::Failed, RowOutcome::Scored);
                    outcomes.insert(row.slot, outcome);
                }
                Want::Hidden(pooling) => {
                    let tokens = first..first + row.len;
                    let state = pool(&self.decoder, tokens, pooling, self.limits.hidden_len);
                    outcomes.insert(row.slot, RowOutcome::Hidden(state));
                }
            }
        }
        let logits = self.decoder.logits(&chosen_after);
        let team = self.decoder.cpu().team();
        let vocab_len = self.limits.vocab_len;
        outcomes.extend(choose(&mut self.pool, team, &choosing, &logits, vocab_len));
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

/// Why a prompt has no scores.
fn no_number(row: &StepRow<'_>) -> String {
    let (first, last) = (row.start, row.start + row.len - 1);
    format!("the model's logits after position {first} or one up to {last} hold no number")
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
