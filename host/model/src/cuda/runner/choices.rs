//! Choices on their way: from the settings of a sequence to what the sampler reads, and from what it leaves to what the engine reads.

use engine::{
    ChosenToken, TokenId,
    constraint::PendingMask,
    runner::{RowOutcome, SlotId, Want},
    sampling::Logprobs,
};
use kernels::cuda::{
    CudaError, Device, Event, Pinned, View,
    sampling::{NO_MASK_YET, NOT_REACHED, RowLogprobs, SampleRow},
};

use crate::cuda::{
    inputs::{Section, Words},
    slots::{Slot, Slots},
};

/// Steps under way, and one that is being launched.
const NUM_STAGES: usize = 3;

/// Words of one [`SampleRow`].
pub(super) const SAMPLE_WORDS: usize = size_of::<SampleRow>() / 4;

/// Page-locked memory for the choices of the steps under way.
pub(super) struct Results {
    free: Vec<Stage>,
}

/// The choices of one step, in the order in which they are received.
pub(super) struct Stage {
    chosen: Pinned<i32>,
    logprobs: Pinned<RowLogprobs>,
    len: usize,
    /// Hidden states, one after the other.
    hidden: Pinned<f32>,
    hidden_len: usize,
    done: Option<Event>,
}

impl Results {
    /// For `capacity` choices a step, and `hidden_capacity` numbers of hidden states.
    pub(super) fn new(
        device: &Device,
        capacity: usize,
        hidden_capacity: usize,
    ) -> Result<Self, CudaError> {
        let stage = || {
            Ok(Stage {
                chosen: device.pinned(capacity)?,
                logprobs: device.pinned(capacity)?,
                len: 0,
                hidden: device.pinned(hidden_capacity)?,
                hidden_len: 0,
                done: None,
            })
        };
        Ok(Self {
            free: (0..NUM_STAGES)
                .map(|_| stage())
                .collect::<Result<_, CudaError>>()?,
        })
    }

    pub(super) fn take(&mut self) -> Stage {
        let mut stage = self.free.pop().expect("at most two steps are under way");
        (stage.len, stage.hidden_len) = (0, 0);
        stage
    }

    pub(super) fn give_back(&mut self, stage: Stage) {
        self.free.push(stage);
    }
}

impl Stage {
    /// Copies choices that were launched, and returns the number of the first.
    pub(super) fn receive(
        &mut self,
        device: &Device,
        chosen: View<'_, i32>,
        logprobs: Option<View<'_, RowLogprobs>>,
    ) -> Result<usize, CudaError> {
        let first = self.len;
        device.receive(chosen, &mut self.chosen, first)?;
        if let Some(logprobs) = logprobs {
            device.receive(logprobs, &mut self.logprobs, first)?;
        }
        self.len += chosen.len();
        Ok(first)
    }

    /// Copies hidden states that were launched, and returns where the first number of theirs will be.
    pub(super) fn receive_hidden(
        &mut self,
        device: &Device,
        hidden: View<'_, f32>,
    ) -> Result<usize, CudaError> {
        let first = self.hidden_len;
        device.receive(hidden, &mut self.hidden, first)?;
        self.hidden_len += hidden.len();
        Ok(first)
    }

    /// A choice that has been read, or one of the sampler's negative constants.
    pub(super) fn chosen(&self, number: usize) -> i32 {
        self.chosen.as_slice()[number]
    }

    /// How likely that was, with the `num_top` likeliest, where it was asked for.
    pub(super) fn logprobs(&self, number: usize, num_top: usize) -> Box<Logprobs> {
        logprobs(&self.logprobs.as_slice()[number], num_top)
    }

    /// Hidden states that have been read.
    pub(super) fn hidden(&self) -> &[f32] {
        self.hidden.as_slice()
    }

    /// Everything of the step has been launched.
    pub(super) fn finish(&mut self, device: &Device) -> Result<(), CudaError> {
        self.done = Some(device.event()?);
        Ok(())
    }

    /// Waits until the step is done.
    pub(super) fn wait(&mut self) -> Result<(), CudaError> {
        self.done
            .take()
            .expect("a step that was launched to its end")
            .wait()
    }
}

/// A row's choices.
pub(super) struct Choice {
    slot: SlotId,
    admission: u64,
    /// The position of the first token to choose.
    position: usize,
    /// Which of the step's choices: after the row's last token, and after each of its drafts.
    pub(super) numbers: Vec<usize>,
    drafts: Vec<TokenId>,
    num_logprobs: Option<usize>,
}

impl Choice {
    pub(super) fn new(slot_id: SlotId, slot: &Slot, position: usize, drafts: &[TokenId]) -> Self {
        Self {
            slot: slot_id,
            admission: slot.admission,
            position,
            numbers: Vec::with_capacity(1 + drafts.len()),
            drafts: drafts.to_vec(),
            num_logprobs: slot.sampling.logprobs,
        }
    }

    /// What was chosen. The slot has it then, if its sequence is still the same.
    pub(super) fn outcome(self, stage: &Stage, slots: &mut Slots) -> RowOutcome {
        let slot = slots.get_mut(self.slot, self.admission);
        let mut chosen = Vec::new();
        for (index, &number) in self.numbers.iter().enumerate() {
            match stage.chosen(number) {
                NO_MASK_YET => {
                    slot.into_iter().for_each(|slot| slot.chose([]));
                    return RowOutcome::Undecided;
                }
                NOT_REACHED => break,
                id if id >= 0 => {
                    let logprobs = self
                        .num_logprobs
                        .map(|num_top| stage.logprobs(number, num_top));
                    chosen.push(ChosenToken {
                        id: id as TokenId,
                        logprobs,
                    });
                    if self.drafts.get(index) != Some(&(id as TokenId)) {
                        break;
                    }
                }
                _ => {
                    slot.into_iter().for_each(Slot::broke);
                    let last = self.position + index - 1;
                    return RowOutcome::Failed(format!(
                        "the model's logits after position {last} hold no number to choose by"
                    ));
                }
            }
        }
        slot.into_iter()
            .for_each(|slot| slot.chose(chosen.iter().map(|token| token.id)));
        RowOutcome::Chosen(chosen)
    }
}

fn logprobs(row: &RowLogprobs, num_top: usize) -> Box<Logprobs> {
    let top = row
        .top_ids
        .iter()
        .zip(row.top)
        .take(num_top)
        .filter(|(id, _)| **id >= 0);
    Box::new(Logprobs {
        chosen: row.chosen,
        top: top.map(|(id, logprob)| (*id as TokenId, logprob)).collect(),
    })
}

/// A mask that was not there yet when its row was packed.
pub(super) struct LateMask {
    pending: PendingMask,
    /// The word of the row's flags.
    flags: usize,
    mask: Section,
}

impl LateMask {
    /// Puts the mask among the words if it has come by now. `first` is the number of the first of them.
    pub(super) fn fill(&self, words: &mut [u32], first: usize) {
        if let Some(mask) = self.pending.get() {
            let to = &mut words[self.mask.start - first..][..self.mask.len];
            to.iter_mut()
                .zip(mask.words())
                .for_each(|(to, word)| *to = *word);
            words[self.flags - first] &= !SampleRow::UNDECIDED;
        }
    }
}

/// What a choice needs besides the settings of its sequence.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) slot: SlotId,
    pub(super) logits_row: usize,
    /// Of the token to choose.
    pub(super) position: usize,
    pub(super) draft: Option<TokenId>,
    /// How many drafts of the row come before.
    pub(super) num_before: usize,
    pub(super) want: Want<'a>,
}

/// Puts a choice's side arrays behind the words and its row at `to`. A mask that has not come is returned.
pub(super) fn pack(
    words: &mut Words,
    to: usize,
    slot: &Slot,
    place: Place<'_>,
    vocab_len: usize,
) -> Option<LateMask> {
    let params = &slot.sampling;
    let mut row = SampleRow {
        seed: params.seed,
        position: place.position as u64,
        draft: place.draft.map_or(-1, |draft| draft as i32),
        temperature: params.temperature,
        top_p: params.top_p,
        min_p: params.min_p,
        top_k: u32::try_from(params.top_k).unwrap_or(u32::MAX),
        repetition_penalty: params.repetition_penalty,
        presence_penalty: params.presence_penalty,
        frequency_penalty: params.frequency_penalty,
        num_logprobs: params.logprobs.map_or(-1, |num_top| num_top as i32),
        ..SampleRow::greedy(place.slot.0 as i32, place.logits_row as u32)
    };
    if params.has_penalties() {
        row.flags |= SampleRow::PENALTIES;
    }
    if place.num_before > 0 {
        row.flags |= SampleRow::CONTINUES;
    }
    if place.position.saturating_sub(slot.prompt_len) < params.min_tokens {
        row.flags |= SampleRow::BAN_STOPS;
        let stops = words.put(params.stop_token_ids.iter().copied());
        (row.stop_start, row.stop_len) = (stops.start as u32, stops.len as u32);
    }
    if !params.logit_bias.is_empty() {
        let bias = slot.bias();
        let tokens = words.put(bias.iter().map(|(token, _)| *token));
        let values = words.put(bias.iter().map(|(_, value)| value.to_bits()));
        (row.bias_start, row.bias_len) = (tokens.start as u32, tokens.len as u32);
        debug_assert_eq!(values.start, tokens.start + tokens.len);
    }
    let mut late = None;
    if let Want::TokenAmong(pending) = place.want {
        row.flags |= SampleRow::MASKED | SampleRow::UNDECIDED;
        let mask = words.put(std::iter::repeat_n(0, vocab_len.div_ceil(32)));
        (row.mask_start, row.mask_len) = (mask.start as u32, mask.len as u32);
        late = Some(LateMask {
            pending: pending.clone(),
            flags: to + FLAGS_WORD,
            mask,
        });
    }
    words
        .section_mut(Section {
            start: to,
            len: SAMPLE_WORDS,
        })
        .copy_from_slice(&row_words(&row));
    if let Some(mask) = &late
        && mask.pending.get().is_some()
    {
        mask.fill(
            words.section_mut(Section {
                start: 0,
                len: mask.mask.start + mask.mask.len,
            }),
            0,
        );
        late = None;
    }
    late
}

/// Where the flags are among a row's words.
const FLAGS_WORD: usize = std::mem::offset_of!(SampleRow, flags) / 4;

/// The row as it lies in memory.
pub(super) fn row_words(row: &SampleRow) -> [u32; SAMPLE_WORDS] {
    let [low, high] = [
        |number: u64| number as u32,
        |number: u64| (number >> 32) as u32,
    ];
    [
        low(row.seed),
        high(row.seed),
        low(row.position),
        high(row.position),
        row.slot as u32,
        row.logits_row,
        row.flags,
        row.draft as u32,
        row.temperature.to_bits(),
        row.top_p.to_bits(),
        row.min_p.to_bits(),
        row.top_k,
        row.repetition_penalty.to_bits(),
        row.presence_penalty.to_bits(),
        row.frequency_penalty.to_bits(),
        row.num_logprobs as u32,
        row.bias_start,
        row.bias_len,
        row.stop_start,
        row.stop_len,
        row.mask_start,
        row.mask_len,
    ]
}
