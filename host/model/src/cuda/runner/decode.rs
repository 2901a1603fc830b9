//! The decode batch: one token each of sequences that go on, by a graph.

use kernels::cuda::{
    CudaError, Device, Graph, View,
    decode_attention::chunks_bucket,
    elementwise::TokenSource,
    sampling::{SampleInputs, SampleRow, Sampler},
};

use super::{
    Awaited, CudaRunner, SoundRow,
    choices::{self, Choice, Place, SAMPLE_WORDS, Stage},
};
use crate::cuda::{
    forward::{DecodeRows, Forward},
    graphs::{Shape, bucket},
    inputs::{Inputs, Section, Words},
};

/// Batches whose graphs are recorded at the start; others when they first come.
const FIRST_BATCHES: [usize; 6] = [1, 2, 4, 8, 16, 32];

/// Where the parts of a decode batch's words begin: graphs know them by their place, so there is room for the largest batch.
#[derive(Clone, Copy)]
struct Header {
    /// The most rows.
    num_rows: usize,
}

impl Header {
    fn section(self, part: usize, rows: usize) -> Section {
        Section {
            start: part * self.num_rows,
            len: rows,
        }
    }

    fn ids(self, rows: usize) -> Section {
        self.section(0, rows)
    }

    fn slots(self, rows: usize) -> Section {
        self.section(1, rows)
    }

    fn lens(self, rows: usize) -> Section {
        self.section(2, rows)
    }

    fn page_starts(self, rows: usize) -> Section {
        self.section(3, rows)
    }

    fn samples(self, rows: usize) -> Section {
        Section {
            start: 4 * self.num_rows,
            len: rows * SAMPLE_WORDS,
        }
    }

    fn len(self) -> usize {
        (4 + SAMPLE_WORDS) * self.num_rows
    }

    /// Begins the words of a batch of `rows` rows, all of them padding.
    fn begin(self, words: &mut Words, rows: usize) {
        words.clear();
        words.put(std::iter::repeat_n(0, self.len()));
        let padding = choices::row_words(&SampleRow::padding());
        let samples = words.section_mut(self.samples(rows));
        samples
            .chunks_exact_mut(SAMPLE_WORDS)
            .for_each(|row| row.copy_from_slice(&padding));
    }
}

impl CudaRunner {
    fn header(&self) -> Header {
        Header {
            num_rows: bucket(self.max_num_seqs),
        }
    }

    pub(super) fn decode(
        &mut self,
        rows: &[SoundRow<'_>],
        awaited: &mut [Option<Awaited>],
        results: &mut Stage,
    ) -> Result<(), CudaError> {
        let header = self.header();
        let num_rows = bucket(rows.len());
        let words = &mut self.words;
        header.begin(words, num_rows);
        let mut late_masks = Vec::new();
        let mut choices = Vec::with_capacity(rows.len());
        for (number, SoundRow { row, tokens, .. }) in rows.iter().enumerate() {
            let slot = self.slots.get(row.slot).expect("the row is sound");
            let position = row.start + 1;
            let pages = words.put(row.blocks.iter().map(|block| block.0));
            words.section_mut(header.ids(num_rows))[number] = tokens[0].word();
            words.section_mut(header.slots(num_rows))[number] = row.slot.0;
            words.section_mut(header.lens(num_rows))[number] = position as u32;
            words.section_mut(header.page_starts(num_rows))[number] = pages.start as u32;
            let to = header.samples(num_rows).start + number * SAMPLE_WORDS;
            let place = Place {
                slot: row.slot,
                logits_row: number,
                position,
                draft: None,
                num_before: 0,
                want: row.want,
            };
            late_masks.extend(choices::pack(words, to, slot, place, self.limits.vocab_len));
            choices.push(Choice::new(row.slot, slot, position, &[]));
        }
        let longest = rows.iter().map(|row| row.row.start + 1).max().unwrap_or(1);
        let shape = Shape {
            num_rows,
            num_chunks: chunks_bucket(longest),
            chooses: late_masks.is_empty(),
        };

        if self.decode_inputs.must_grow(words) {
            self.graphs.clear();
            self.decode_inputs.grow(&self.device, words)?;
        }
        self.decode_inputs.send(&self.device, words)?;
        self.launch_graph(shape)?;
        if !shape.chooses {
            let rest = Section {
                start: header.samples(num_rows).start,
                len: self.words.len() - header.samples(num_rows).start,
            };
            self.decode_inputs
                .fill_and_send(&self.device, rest, move |words| {
                    late_masks
                        .iter()
                        .for_each(|mask| mask.fill(words, rest.start))
                })?;
            self.choose(num_rows)?;
        }
        let wants_logprobs = rows.iter().any(|row| {
            self.slots
                .get(row.row.slot)
                .is_ok_and(|slot| slot.sampling.logprobs.is_some())
        });
        let logprobs = wants_logprobs.then(|| self.sampler.logprobs().slice(0, rows.len()));
        let first = results.receive(
            &self.device,
            self.sampler.chosen().slice(0, rows.len()),
            logprobs,
        )?;
        for (number, (SoundRow { index, row, .. }, mut choice)) in
            rows.iter().zip(choices).enumerate()
        {
            choice.numbers.push(first + number);
            awaited[*index] = Some(Awaited::Choices(choice));
            self.slots.launched(row.slot, row.want);
        }
        Ok(())
    }

    /// Records the graphs of the commonest batches, so that no request waits for that.
    pub(super) fn record_first_graphs(&mut self) -> Result<(), CudaError> {
        let header = self.header();
        let mut is_first = true;
        for num_rows in FIRST_BATCHES
            .into_iter()
            .filter(|rows| *rows <= header.num_rows)
        {
            header.begin(&mut self.words, num_rows);
            self.decode_inputs.send(&self.device, &self.words)?;
            if std::mem::take(&mut is_first) {
                self.choose(num_rows)?;
            }
            self.launch_graph(Shape {
                num_rows,
                num_chunks: 1,
                chooses: true,
            })?;
        }
        self.device.synchronize()
    }

    /// Chooses for the rows that were computed, outside a graph.
    fn choose(&self, num_rows: usize) -> Result<(), CudaError> {
        choose(
            &self.device,
            &self.forward,
            &self.sampler,
            &self.decode_inputs,
            self.header(),
            num_rows,
        )
    }

    fn launch_graph(&mut self, shape: Shape) -> Result<(), CudaError> {
        let header = self.header();
        let Self {
            graphs,
            device,
            forward,
            sampler,
            decode_inputs,
            ..
        } = self;
        graphs.launch(shape, || {
            record(device, forward, sampler, decode_inputs, header, shape)
        })
    }
}

fn record(
    device: &Device,
    forward: &Forward,
    sampler: &Sampler,
    inputs: &Inputs,
    header: Header,
    shape: Shape,
) -> Result<Graph, CudaError> {
    let Shape {
        num_rows,
        num_chunks,
        chooses,
    } = shape;
    let tokens = TokenSource {
        ids: inputs.view(header.ids(num_rows)),
        slots: inputs.view(header.slots(num_rows)),
        last_token: sampler.last_token(),
    };
    let rows = DecodeRows {
        len: inputs.view(header.lens(num_rows)),
        page_start: inputs.view(header.page_starts(num_rows)),
        pages: inputs.all(),
        num_chunks,
    };
    let work = || {
        forward.decode(device, tokens, &rows)?;
        match chooses {
            true => choose(device, forward, sampler, inputs, header, num_rows),
            false => Ok(()),
        }
    };
    // What the driver and the libraries set up at a first call must not happen while a graph is recorded. To compute the rows twice
    // does no harm: the same keys and values go to the same places.
    forward.decode(device, tokens, &rows)?;
    device.capture(work)
}

fn choose(
    device: &Device,
    forward: &Forward,
    sampler: &Sampler,
    inputs: &Inputs,
    header: Header,
    num_rows: usize,
) -> Result<(), CudaError> {
    let rows = inputs.view(header.samples(num_rows));
    sampler.launch(
        device,
        &sample_inputs(inputs, forward.logits(num_rows), rows),
        0,
    )
}

/// Rows whose side arrays are anywhere among the words.
pub(super) fn sample_inputs<'a>(
    inputs: &'a Inputs,
    logits: View<'a, f32>,
    rows: View<'a, SampleRow>,
) -> SampleInputs<'a> {
    SampleInputs {
        logits,
        rows,
        bias_tokens: inputs.all(),
        bias_values: inputs.all(),
        stop_tokens: inputs.all(),
        mask_words: inputs.all(),
    }
}
