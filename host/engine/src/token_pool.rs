//! The slots of a runner whose logits end up in this process's memory.

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
        let slot = self.slots.get(row.slot.0 as usize).and_then(Option::as_ref);
        let slot = slot.ok_or_else(|| format!("slot {} is empty", row.slot.0))?;
        let known = slot
            .tokens
            .get(row.start..row.start + row.len)
            .ok_or_else(|| {
                format!(
                    "slot {} knows {} tokens, not positions {} to {}",
                    row.slot.0,
                    slot.tokens.len(),
                    row.start,
                    row.start + row.len
                )
            })?;
        Ok([known, row.drafts].concat())
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
    /// sequence.
    pub fn choose<'l>(
        &mut self,
        row: &StepRow<'_>,
        logits: impl IntoIterator<Item = &'l [f32]>,
    ) -> RowOutcome {
        let mask = match row.want {
            Want::Nothing => return RowOutcome::Computed,
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
