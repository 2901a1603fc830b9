//! The extend batch: prompts and their chunks, and guesses to check. Ragged, launched kernel by kernel.

use engine::runner::{Admission, RowOutcome, SlotId};
use kernels::cuda::{
    CudaError, PAGE_LEN,
    cublas_lt::Rows,
    elementwise::{TokenPlaces, TokenSource},
    prefill_attention::{Sequences, tiles},
};

use super::{
    Awaited, CudaRunner, SoundRow,
    choices::{self, Choice, LateMask, Place, SAMPLE_WORDS, Stage},
    decode::sample_inputs,
    hidden, sampler_rows,
};
use crate::cuda::{
    forward::{ExtendBatch, NARROW_ROWS},
    inputs::{Section, Words},
};

/// Token counts of a sequence that has penalties.
struct Count {
    slot: SlotId,
    prompt: Section,
    output: Section,
}

/// Where the parts of the batch are among the words.
struct Parts {
    ids: Section,
    slots: Section,
    positions: Section,
    places: Section,
    q_start: Section,
    q_len: Section,
    kv_len: Section,
    page_start: Section,
    tiles: Section,
}

/// A choice after a token of the batch.
struct Wanted {
    /// Which of the batch's rows.
    number: usize,
    /// How many of its drafts come before.
    num_before: usize,
}

/// Choices whose logits are computed together, as many as there is room for.
struct Slab {
    /// The tokens' places in the batch.
    rows: Section,
    /// Rows of one launch of the sampler have different slots.
    launches: Vec<Section>,
    wanted: Vec<Wanted>,
}

impl CudaRunner {
    /// Counts the tokens of new sequences that have penalties.
    pub(super) fn count_tokens(&mut self, admissions: &[Admission<'_>]) -> Result<(), CudaError> {
        let words = &mut self.words;
        words.clear();
        let counts = pack_counts(words, admissions);
        if counts.is_empty() {
            return Ok(());
        }
        self.send_extend_inputs()?;
        for Count {
            slot,
            prompt,
            output,
        } in counts
        {
            self.sampler.reset(&self.device, slot.0 as usize)?;
            let (prompt, output) = (
                self.extend_inputs.view(prompt),
                self.extend_inputs.view(output),
            );
            self.sampler
                .count(&self.device, slot.0 as usize, prompt, output)?;
        }
        Ok(())
    }

    fn send_extend_inputs(&mut self) -> Result<(), CudaError> {
        if self.extend_inputs.must_grow(&self.words) {
            self.extend_inputs.grow(&self.device, &self.words)?;
        }
        self.extend_inputs.send(&self.device, &self.words)
    }

    /// Computes the rows, and chooses for those that want it.
    pub(super) fn extend(
        &mut self,
        kind: Rows,
        rows: &[SoundRow<'_>],
        awaited: &mut [Option<Awaited>],
        results: &mut Stage,
    ) -> Result<(), CudaError> {
        self.words.clear();
        let parts = pack_tokens(
            &mut self.words,
            rows,
            self.forward.weights.heads().group_len(),
        );
        let samples = self.words.align();
        let slabs: Vec<Slab> = in_rounds(rows)
            .chunks(NARROW_ROWS)
            .map(|wanted| pack_slab(&mut self.words, rows, wanted))
            .collect();
        let late_masks = self.pack_samples(rows, &slabs);
        let score_slabs = self.pack_scores(rows);
        let sums = hidden::pack(&mut self.words, rows);

        self.send_extend_inputs()?;
        self.forward
            .extend(&self.device, &self.extend_batch(kind, &parts))?;
        if !late_masks.is_empty() {
            let rest = Section {
                start: samples,
                len: self.words.len() - samples,
            };
            self.extend_inputs
                .fill_and_send(&self.device, rest, move |words| {
                    late_masks.iter().for_each(|mask| mask.fill(words, samples))
                })?;
        }
        let mut choices: Vec<_> = rows.iter().map(|row| self.choice(row)).collect();
        for slab in &slabs {
            let first = self.choose_slab(slab, rows, results)?;
            for (number, wanted) in slab.wanted.iter().enumerate() {
                let choice = choices[wanted.number]
                    .as_mut()
                    .expect("a choice was wanted");
                choice.numbers.push(first + number);
            }
        }
        for (SoundRow { index, row, .. }, choice) in rows.iter().zip(choices) {
            awaited[*index] =
                Some(choice.map_or(Awaited::Now(RowOutcome::Computed), Awaited::Choices));
            self.slots.launched(row.slot, row.want);
        }
        self.score(rows, &score_slabs, awaited, results)?;
        sums.map_or(Ok(()), |sums| self.add_up(rows, &sums, awaited, results))
    }

    /// What is to come of a row, if it wants a token.
    fn choice(&self, SoundRow { row, .. }: &SoundRow<'_>) -> Option<Choice> {
        let slot = self.slots.get(row.slot).expect("the row is sound");
        let position = row.start + row.len;
        row.want
            .is_token()
            .then(|| Choice::new(row.slot, slot, position, row.drafts))
    }

    /// Fills the slabs' rows for the sampler. The masks that have not come are returned.
    fn pack_samples(&mut self, rows: &[SoundRow<'_>], slabs: &[Slab]) -> Vec<LateMask> {
        let mut late_masks = Vec::new();
        for slab in slabs {
            for (logits_row, wanted) in slab.wanted.iter().enumerate() {
                let SoundRow { row, .. } = &rows[wanted.number];
                let place = Place {
                    slot: row.slot,
                    logits_row,
                    position: row.start + row.len + wanted.num_before,
                    draft: row.drafts.get(wanted.num_before).copied(),
                    num_before: wanted.num_before,
                    want: row.want,
                };
                let slot = self.slots.get(row.slot).expect("the row is sound");
                let to = slab.launches[0].start + logits_row * SAMPLE_WORDS;
                let vocab_len = self.limits.vocab_len;
                late_masks.extend(choices::pack(&mut self.words, to, slot, place, vocab_len));
            }
        }
        late_masks
    }

    fn extend_batch(&self, rows: Rows, parts: &Parts) -> ExtendBatch<'_> {
        let inputs = &self.extend_inputs;
        ExtendBatch {
            num_tokens: parts.ids.len,
            rows,
            tokens: TokenSource {
                ids: inputs.view(parts.ids),
                slots: inputs.view(parts.slots),
                last_token: self.sampler.last_token(),
            },
            places: TokenPlaces {
                positions: inputs.view(parts.positions),
                places: inputs.view(parts.places),
            },
            sequences: Sequences {
                tiles: inputs.view(parts.tiles),
                q_start: inputs.view(parts.q_start),
                q_len: inputs.view(parts.q_len),
                kv_len: inputs.view(parts.kv_len),
                page_start: inputs.view(parts.page_start),
                pages: inputs.all(),
            },
        }
    }

    /// Computes a slab's logits and chooses; returns the number of its first choice.
    fn choose_slab(
        &self,
        slab: &Slab,
        rows: &[SoundRow<'_>],
        results: &mut Stage,
    ) -> Result<usize, CudaError> {
        let num_rows = slab.wanted.len();
        self.forward
            .extend_logits(&self.device, self.extend_inputs.view(slab.rows))?;
        // Behind those of the decode batch, whose graph has its own for good.
        let first_output = sampler_rows(self.max_num_seqs) - NARROW_ROWS;
        let mut output = first_output;
        for launch in &slab.launches {
            let samples = self.extend_inputs.view(*launch);
            self.sampler.launch(
                &self.device,
                &sample_inputs(&self.extend_inputs, self.forward.logits(num_rows), samples),
                output,
            )?;
            output += samples.len();
        }
        let wants_logprobs = slab.wanted.iter().any(|wanted| {
            self.slots
                .get(rows[wanted.number].row.slot)
                .is_ok_and(|slot| slot.sampling.logprobs.is_some())
        });
        let logprobs =
            wants_logprobs.then(|| self.sampler.logprobs().slice(first_output, num_rows));
        results.receive(
            &self.device,
            self.sampler.chosen().slice(first_output, num_rows),
            logprobs,
        )
    }
}

fn pack_counts(words: &mut Words, admissions: &[Admission<'_>]) -> Vec<Count> {
    let penalised = admissions
        .iter()
        .filter(|admission| admission.sampling.has_penalties());
    penalised
        .map(|admission| {
            let (prompt, output) = admission.tokens.split_at(admission.prompt_len);
            Count {
                slot: admission.slot,
                prompt: words.put(prompt.iter().copied()),
                output: words.put(output.iter().copied()),
            }
        })
        .collect()
}

fn pack_tokens(words: &mut Words, rows: &[SoundRow<'_>], group_len: usize) -> Parts {
    let per_token = |row: &SoundRow<'_>| row.row.start..row.row.start + row.tokens.len();
    let ids = words.put(
        rows.iter()
            .flat_map(|row| row.tokens.iter().map(|token| token.word())),
    );
    let slots = words.put(
        rows.iter()
            .flat_map(|row| per_token(row).map(|_| row.row.slot.0)),
    );
    let positions = words.put_counts(rows.iter().flat_map(per_token));
    let place = |row: &SoundRow<'_>, position: usize| {
        row.row.blocks[position / PAGE_LEN].0 as usize * PAGE_LEN + position % PAGE_LEN
    };
    let places = words.put_counts(
        rows.iter()
            .flat_map(|row| per_token(row).map(move |position| place(row, position))),
    );
    let q_start = words.put_counts(first_tokens(rows));
    let q_lens: Vec<i32> = rows.iter().map(|row| row.tokens.len() as i32).collect();
    let kv_lens: Vec<i32> = rows.iter().map(|row| per_token(row).end as i32).collect();
    let q_len = words.put(q_lens.iter().map(|len| *len as u32));
    let kv_len = words.put(kv_lens.iter().map(|len| *len as u32));
    let page_starts: Vec<usize> = rows
        .iter()
        .map(|row| words.put(row.row.blocks.iter().map(|block| block.0)).start)
        .collect();
    let page_start = words.put_counts(page_starts);
    let tiles = words.put(
        tiles(&q_lens, &kv_lens, group_len)
            .into_iter()
            .flatten()
            .map(|number| number as u32),
    );
    Parts {
        ids,
        slots,
        positions,
        places,
        q_start,
        q_len,
        kv_len,
        page_start,
        tiles,
    }
}

/// Which of the batch's tokens is each row's first.
pub(super) fn first_tokens(rows: &[SoundRow<'_>]) -> impl Iterator<Item = usize> {
    rows.iter().scan(0, |next, row| {
        let first = *next;
        *next += row.tokens.len();
        Some(first)
    })
}

/// The choices that the rows want: first those after each row's last token, then those after each first draft, and so on, since a
/// choice after a draft depends on the one before.
fn in_rounds(rows: &[SoundRow<'_>]) -> Vec<Wanted> {
    let longest = rows
        .iter()
        .map(|row| row.row.drafts.len())
        .max()
        .unwrap_or(0);
    let round = |num_before: usize| {
        let wants =
            move |row: &SoundRow<'_>| row.row.want.is_token() && row.row.drafts.len() >= num_before;
        rows.iter()
            .enumerate()
            .filter(move |(_, row)| wants(row))
            .map(move |(number, _)| Wanted { number, num_before })
    };
    (0..=longest).flat_map(round).collect()
}

/// Makes room for the rows of a slab's choices.
fn pack_slab(words: &mut Words, rows: &[SoundRow<'_>], wanted: &[Wanted]) -> Slab {
    let starts: Vec<usize> = first_tokens(rows).collect();
    let place = |wanted: &Wanted| {
        starts[wanted.number] + rows[wanted.number].row.len - 1 + wanted.num_before
    };
    let token_rows = words.put_counts(wanted.iter().map(place));
    words.align();
    let launches = wanted.chunk_by(|a, b| a.num_before == b.num_before);
    let launches = launches
        .map(|round| words.put(std::iter::repeat_n(0, round.len() * SAMPLE_WORDS)))
        .collect();
    let wanted = wanted.iter().map(|wanted| Wanted { ..*wanted }).collect();
    Slab {
        rows: token_rows,
        launches,
        wanted,
    }
}
