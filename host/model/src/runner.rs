//! The CPU's `ModelRunner`.

use std::sync::Mutex;

use engine::runner::{ModelRunner, RunnerLimits, StepError, StepRow, TokenId};
use engine::sampling::sample;
use kernels::{BLOCK_LEN, Span};

use crate::decoder::{Batch, Decoder};

/// Which positions of a row logits are wanted of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// The row's last.
    Last,
    /// Every one.
    All,
}

/// Runs a dense decoder on the CPU.
pub struct CpuRunner {
    decoder: Decoder,
    limits: RunnerLimits,
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

    /// Computes all rows as `step` does, and returns logits (`vocab_len` each) instead of tokens: row after row, and within
    /// a row position after position.
    pub fn logits(
        &mut self,
        rows: &[StepRow<'_>],
        positions: Positions,
    ) -> Result<Vec<Vec<f32>>, StepError> {
        let wanted = |first: usize, len: usize| match positions {
            Positions::Last => first + len - 1..first + len,
            Positions::All => first..first + len,
        };
        let logits = self.compute(rows, |_, first, len| wanted(first, len).collect())?;
        Ok(logits
            .chunks_exact(self.limits.vocab_len)
            .map(<[f32]>::to_vec)
            .collect())
    }

    /// Runs the decoder; `wanted` gives, for a row, its first token's index and its length, the indices of the logits to return.
    fn compute(
        &mut self,
        rows: &[StepRow<'_>],
        wanted: impl Fn(&StepRow<'_>, usize, usize) -> Vec<usize>,
    ) -> Result<Vec<f32>, StepError> {
        for (index, row) in rows.iter().enumerate() {
            self.check(row)
                .map_err(|reason| StepError::Failed(format!("row {index}: {reason}")))?;
        }
        let blocks: Vec<Vec<u32>> = rows
            .iter()
            .map(|row| row.blocks.iter().map(|block| block.0).collect())
            .collect();
        let mut batch = Batch {
            tokens: Vec::new(),
            spans: Vec::with_capacity(rows.len()),
        };
        let mut indices = Vec::new();
        for (row, blocks) in rows.iter().zip(&blocks) {
            let (first_row, len) = (batch.tokens.len(), row.tokens.len());
            indices.extend(wanted(row, first_row, len));
            batch.tokens.extend_from_slice(row.tokens);
            batch.spans.push(Span {
                first_row,
                len,
                start: row.start,
                blocks,
            });
        }
        Ok(self.decoder.forward(&batch, &indices))
    }

    /// A wrong row is a fault of the engine, but it must not take down the process.
    fn check(&self, row: &StepRow<'_>) -> Result<(), String> {
        let limits = &self.limits;
        let end = row.start.saturating_add(row.tokens.len());
        if row.tokens.is_empty() {
            return Err("it has no tokens".to_owned());
        }
        if end > limits.max_model_len {
            return Err(format!(
                "it ends at position {end}, the longest sequence is {}",
                limits.max_model_len
            ));
        }
        if row.blocks.len() < end.div_ceil(BLOCK_LEN) {
            return Err(format!(
                "{} blocks do not hold {end} tokens",
                row.blocks.len()
            ));
        }
        if let Some(block) = row
            .blocks
            .iter()
            .find(|block| block.0 as usize >= limits.num_blocks)
        {
            return Err(format!(
                "block {} is not among the {}",
                block.0, limits.num_blocks
            ));
        }
        match row
            .tokens
            .iter()
            .find(|token| **token as usize >= limits.vocab_len)
        {
            Some(token) => Err(format!(
                "token {token} is not in the vocabulary of {}",
                limits.vocab_len
            )),
            None => Ok(()),
        }
    }
}

impl ModelRunner for CpuRunner {
    fn limits(&self) -> &RunnerLimits {
        &self.limits
    }

    fn step(&mut self, rows: &[StepRow<'_>]) -> Result<Vec<Option<TokenId>>, StepError> {
        let last =
            |row: &StepRow<'_>, first: usize, len: usize| row.sample.map(|_| first + len - 1);
        let logits = self.compute(rows, |row, first, len| {
            last(row, first, len).into_iter().collect()
        })?;
        let vocab_len = self.limits.vocab_len;
        let sampling: Vec<_> = rows
            .iter()
            .enumerate()
            .filter_map(|(i, row)| Some((i, row, row.sample?)))
            .collect();
        let tokens = Mutex::new(vec![None; rows.len()]);
        self.decoder.cpu().team().for_each(sampling.len(), |index| {
            let (row_index, row, params) = sampling[index];
            let logits = &logits[index * vocab_len..][..vocab_len];
            let token = sample(logits, params, row.start + row.tokens.len());
            tokens
                .lock()
                .expect("a sampler that panicked ended the step")[row_index] = Some(token);
        });
        Ok(tokens
            .into_inner()
            .expect("a sampler that panicked ended the step"))
    }
}
