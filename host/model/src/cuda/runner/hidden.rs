//! Hidden states for embeddings: added up on the device, read as one vector a row.

use std::ops::Range;

use engine::{
    Pooling,
    runner::{RowOutcome, Want},
};
use kernels::cuda::CudaError;

use super::{Awaited, CudaRunner, SoundRow, choices::Stage, extend::first_tokens};
use crate::cuda::inputs::{Section, Words};

/// A row's hidden state, or the sum of several, on its way: where its numbers are in the stage.
pub(super) struct Hidden(Range<usize>);

impl Hidden {
    pub(super) fn outcome(self, stage: &Stage) -> RowOutcome {
        let numbers = stage.hidden()[self.0].iter();
        RowOutcome::Hidden(numbers.map(|number| f64::from(*number)).collect())
    }
}

/// Where the parts of the sums of an extension are among the words.
pub(super) struct Sums {
    /// The tokens' places in the batch, sum after sum.
    rows: Section,
    /// Which of `rows` is each sum's first.
    starts: Section,
    lens: Section,
    /// For each the number of its row.
    numbers: Vec<usize>,
}

/// Puts what rows want of hidden states among the words; `None` if they want nothing.
pub(super) fn pack(words: &mut Words, rows: &[SoundRow<'_>]) -> Option<Sums> {
    let (mut places, mut starts, mut lens, mut numbers) = (vec![], vec![], vec![], vec![]);
    for ((number, SoundRow { row, .. }), first) in rows.iter().enumerate().zip(first_tokens(rows)) {
        let Want::Hidden(pooling) = row.want else {
            continue;
        };
        let end = first + row.len;
        let tokens = match pooling {
            Pooling::Last => end - 1..end,
            Pooling::Mean => first..end,
        };
        starts.push(places.len());
        lens.push(tokens.len());
        numbers.push(number);
        places.extend(tokens);
    }
    (!numbers.is_empty()).then(|| Sums {
        rows: words.put_counts(places),
        starts: words.put_counts(starts),
        lens: words.put_counts(lens),
        numbers,
    })
}

impl CudaRunner {
    /// Adds up what rows want of the hidden states of the last extension.
    pub(super) fn add_up(
        &self,
        rows: &[SoundRow<'_>],
        sums: &Sums,
        awaited: &mut [Option<Awaited>],
        results: &mut Stage,
    ) -> Result<(), CudaError> {
        let inputs = &self.extend_inputs;
        let hidden = self.forward.extend_sums(
            &self.device,
            inputs.view(sums.rows),
            inputs.view(sums.starts),
            inputs.view(sums.lens),
        )?;
        let first = results.receive_hidden(&self.device, hidden)?;
        let hidden_len = self.limits.hidden_len;
        for (index, number) in sums.numbers.iter().enumerate() {
            let start = first + index * hidden_len;
            let hidden = Hidden(start..start + hidden_len);
            awaited[rows[*number].index] = Some(Awaited::Hidden(hidden));
        }
        Ok(())
    }
}
