//! How likely the tokens of prompts were: by the sampler, which is given the token instead of choosing one.

use engine::{
    ChosenToken, TokenId,
    runner::{RowOutcome, Want},
};
use kernels::cuda::{
    CudaError,
    sampling::{NOTHING_LEFT, SampleRow},
};

use super::{
    Awaited, CudaRunner, SoundRow, choices::Stage, choices::row_words, decode::sample_inputs,
    extend::first_tokens, sampler_rows,
};
use crate::cuda::{
    forward::NARROW_ROWS,
    inputs::{Section, Words},
};

/// A row's scores on their way.
pub(super) struct Scores {
    /// The position of the first token that is scored.
    position: usize,
    tokens: Vec<TokenId>,
    /// Which of the step's results are theirs.
    numbers: Vec<usize>,
    num_top: usize,
}

impl Scores {
    pub(super) fn outcome(self, stage: &Stage) -> RowOutcome {
        let scored = |(id, number): (TokenId, usize)| {
            (stage.chosen(number) != NOTHING_LEFT).then(|| ChosenToken {
                id,
                logprobs: Some(stage.logprobs(number, self.num_top)),
            })
        };
        let (first, last) = (self.position - 1, self.position + self.tokens.len() - 2);
        let tokens = self.tokens.into_iter().zip(self.numbers);
        match tokens.map(scored).collect() {
            Some(tokens) => RowOutcome::Scored(tokens),
            None => RowOutcome::Failed(format!(
                "the model's logits after position {first} or one up to {last} hold no number"
            )),
        }
    }
}

/// Tokens whose logits are computed together, as many as there is room for.
pub(super) struct ScoreSlab {
    /// The places in the batch of the tokens before them.
    rows: Section,
    samples: Section,
    /// For each the number of its row.
    numbers: Vec<usize>,
}

impl CudaRunner {
    /// Makes room for the scores that rows want, and fills it.
    pub(super) fn pack_scores(&mut self, rows: &[SoundRow<'_>]) -> Vec<ScoreSlab> {
        let mut wanted = Vec::new();
        for ((number, SoundRow { row, .. }), first) in
            rows.iter().enumerate().zip(first_tokens(rows))
        {
            let Want::Scores { num_top } = row.want else {
                continue;
            };
            let slot = self.slots.get(row.slot).expect("the row is sound");
            let followers = slot.followers(row).expect("the row is sound");
            let sample = |token: TokenId| SampleRow {
                flags: SampleRow::SCORES,
                draft: token as i32,
                num_logprobs: num_top as i32,
                ..SampleRow::greedy(row.slot.0 as i32, 0)
            };
            let tokens = (first..).zip(followers);
            wanted.extend(tokens.map(|(place, token)| (number, place, sample(*token))));
        }
        let words = &mut self.words;
        wanted
            .chunks(NARROW_ROWS)
            .map(|wanted| pack_slab(words, wanted))
            .collect()
    }

    /// Computes the logits of each slab after the last extension, and scores by them.
    pub(super) fn score(
        &self,
        rows: &[SoundRow<'_>],
        slabs: &[ScoreSlab],
        awaited: &mut [Option<Awaited>],
        results: &mut Stage,
    ) -> Result<(), CudaError> {
        let mut scores: Vec<Option<Scores>> = rows.iter().map(|row| self.scores_of(row)).collect();
        // As choices after an extension: behind those of the decode batch.
        let output = sampler_rows(self.max_num_seqs) - NARROW_ROWS;
        for slab in slabs {
            let num_rows = slab.numbers.len();
            self.forward
                .extend_logits(&self.device, self.extend_inputs.view(slab.rows))?;
            let inputs = sample_inputs(
                &self.extend_inputs,
                self.forward.logits(num_rows),
                self.extend_inputs.view(slab.samples),
            );
            self.sampler.launch(&self.device, &inputs, output)?;
            let first = results.receive(
                &self.device,
                self.sampler.chosen().slice(output, num_rows),
                Some(self.sampler.logprobs().slice(output, num_rows)),
            )?;
            for (result, number) in (first..).zip(&slab.numbers) {
                let scores = scores[*number].as_mut().expect("the row wants scores");
                scores.numbers.push(result);
            }
        }
        for (row, scores) in rows.iter().zip(scores) {
            if let Some(scores) = scores {
                awaited[row.index] = Some(Awaited::Scores(scores));
            }
        }
        Ok(())
    }

    fn scores_of(&self, SoundRow { row, .. }: &SoundRow<'_>) -> Option<Scores> {
        let Want::Scores { num_top } = row.want else {
            return None;
        };
        let slot = self.slots.get(row.slot).expect("the row is sound");
        let tokens = slot.followers(row).expect("the row is sound");
        Some(Scores {
            position: row.start + 1,
            tokens: tokens.to_vec(),
            numbers: Vec::with_capacity(tokens.len()),
            num_top,
        })
    }
}

fn pack_slab(words: &mut Words, wanted: &[(usize, usize, SampleRow)]) -> ScoreSlab {
    let rows = words.put_counts(wanted.iter().map(|(_, place, _)| *place));
    words.align();
    let sample = |(logits_row, (_, _, sample)): (u32, &(usize, usize, SampleRow))| {
        row_words(&SampleRow {
            logits_row,
            ..*sample
        })
    };
    let samples = words.put((0..).zip(wanted).flat_map(sample));
    ScoreSlab {
        rows,
        samples,
        numbers: wanted.iter().map(|(number, ..)| *number).collect(),
    }
}
