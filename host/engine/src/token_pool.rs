//! The slots of a runner whose logits end up in this process's memory.

use std::ops::Range;

use crate::{
    runner::{Admission, RowOutcome, SlotId, StepRow, TokenId, Want},
    sampling::Sampler,
};

/// Tokens and samplers of the running sequences.
#[derive(Debug, Default)]
pub struct TokenPool {
    slots: Vec<Option<Slot>>,
}

/// One running sequence, as its runner sees it.
#[derive(Debug)]
pub struct Slot {
    tokens: Vec<TokenId>,
    sampler: Sampler,
}

impl TokenPool {
    /// Puts a sequence into its slot.
    pub fn admit(&mut self, admission: &Admission<'_>) {
        let index = admission.slot.0 as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.slots[index] = Some(Slot {
            tokens: admission.tokens.to_vec(),
            sampler: Sampler::new(admission.sampling, admission.tokens, admission.prompt_len),
        });
    }

    /// The tokens that a row computes, drafts and all.
    ///
    /// # Errors
    /// If the slot does not know them: nobody is in it, or an earlier row of it failed.
    pub fn tokens(&self, row: &StepRow<'_>) -> Result<Vec<TokenId>, String> {
        let known = self.known(row.slot, row.start..row.start + row.len)?;
        Ok([known, row.drafts].concat())
    }

    /// The tokens that follow those of a row, whose [`Scores`](Want::Scores) are wanted.
    ///
    /// # Errors
    /// If the slot does not know them.
    pub fn followers(&self, row: &StepRow<'_>) -> Result<&[TokenId], String> {
        self.known(row.slot, row.start + 1..row.start + 1 + row.len)
    }

    fn known(&self, id: SlotId, positions: Range<usize>) -> Result<&[TokenId], String> {
        let slot = self.slots.get(id.0 as usize).and_then(Option::as_ref);
        let slot = slot.ok_or_else(|| format!("slot {} is empty", id.0))?;
        slot.tokens.get(positions.clone()).ok_or_else(|| {
            format!(
                "slot {} knows {} tokens, not positions {} to {}",
                id.0,
                slot.tokens.len(),
                positions.start,
                positions.end
            )
        })
    }

    /// All sequences, for choosing the tokens of several side by side.
    pub fn slots_mut(&mut self) -> impl Iterator<Item = (SlotId, &mut Slot)> {
        let slots = (0..).map(SlotId).zip(&mut self.slots);
        slots.filter_map(|(id, slot)| Some((id, slot.as_mut()?)))
    }

    /// The sequence in a slot.
    pub fn slot_mut(&mut self, slot: SlotId) -> Option<&mut Slot> {
        self.slots.get_mut(slot.0 as usize)?.as_mut()
    }
}

impl Slot {
    /// Chooses what a row wants from the logits after its last token and after each of its drafts, and adds it to the
    /// sequence. Rows that want something else have nothing to choose.
    pub fn choose<'l>(
        &mut self,
        row: &StepRow<'_>,
        logits: impl IntoIterator<Item = &'l [f32]>,
    ) -> RowOutcome {
        let mask = match row.want {
            Want::Nothing | Want::Scores { .. } | Want::Hidden(_) => return RowOutcome::Computed,
            Want::Token => None,
            Want::TokenAmong(pending) => match pending.get() {
                Some(mask) => Some(mask),
                None => return RowOutcome::Undecided,
            },
        };
        let mut chosen = Vec::new();
        for logits in logits {
            let position = self.tokens.len();
            let Some(token) = self.sampler.choose(logits, position, mask) else {
                return RowOutcome::Failed(format!(
                    "the model's logits after position {} hold no number to choose by",
                    position - 1
                ));
            };
            let was_guessed = row.drafts.get(chosen.len()) == Some(&token.id);
            self.tokens.push(token.id);
            chosen.push(token);
            if !was_guessed {
                break;
            }
        }
        RowOutcome::Chosen(chosen)
    }
}
