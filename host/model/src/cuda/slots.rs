//! What the host knows of the sequences in their slots. The device knows one token more: the one chosen last.

use std::collections::BTreeMap;

use engine::{
    SamplingParams, TokenId,
    runner::{Admission, SlotId, StepRow, Want},
};

/// The running sequences.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Option<Slot>>,
    num_admissions: u64,
}

/// One running sequence.
pub(super) struct Slot {
    /// Those that have been read from the device.
    tokens: Vec<TokenId>,
    pub(super) prompt_len: usize,
    pub(super) sampling: SamplingParams,
    /// `sampling.logit_bias`, each token once.
    bias: Vec<(TokenId, f32)>,
    /// Choices launched and not read yet.
    num_pending: usize,
    /// A choice came to nothing: what was launched after it is worth nothing.
    is_broken: bool,
    /// Tells its sequence from others that are in the slot before or after it.
    pub(super) admission: u64,
}

/// Which token a row computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Known(TokenId),
    /// The slot's last choice, which only the device knows yet.
    LastChosen,
}

impl Token {
    /// As the embedding kernel takes it.
    pub(super) fn word(self) -> u32 {
        match self {
            Self::Known(id) => id,
            Self::LastChosen => u32::MAX,
        }
    }
}

impl Slots {
    /// Puts a sequence into its slot.
    pub(super) fn admit(&mut self, admission: &Admission<'_>) {
        let index = admission.slot.0 as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.num_admissions += 1;
        self.slots[index] = Some(Slot {
            tokens: admission.tokens.to_vec(),
            prompt_len: admission.prompt_len,
            sampling: admission.sampling.clone(),
            bias: merged(&admission.sampling.logit_bias),
            num_pending: 0,
            is_broken: false,
            admission: self.num_admissions,
        });
    }

    /// The sequence in a slot.
    pub(super) fn get(&self, slot: SlotId) -> Result<&Slot, String> {
        let sequence = self.slots.get(slot.0 as usize).and_then(Option::as_ref);
        sequence.ok_or_else(|| format!("slot {} is empty", slot.0))
    }

    /// What the row wants was launched.
    pub(super) fn launched(&mut self, slot: SlotId, want: Want<'_>) {
        if let Some(Some(sequence)) = self.slots.get_mut(slot.0 as usize) {
            sequence.launched(want);
        }
    }

    /// The same, if it is still the one that came with this admission.
    pub(super) fn get_mut(&mut self, slot: SlotId, admission: u64) -> Option<&mut Slot> {
        let sequence = self.slots.get_mut(slot.0 as usize)?.as_mut()?;
        (sequence.admission == admission).then_some(sequence)
    }
}

impl Slot {
    /// The tokens that a row computes, drafts and all.
    pub(super) fn tokens(&self, row: &StepRow<'_>) -> Result<Vec<Token>, String> {
        let token = |position: usize| match self.tokens.get(position) {
            Some(id) => Ok(Token::Known(*id)),
            None if position == self.tokens.len() && self.num_pending == 1 => Ok(Token::LastChosen),
            None => Err(format!(
                "slot {} knows {} tokens and {} to come, not position {position}",
                row.slot.0,
                self.tokens.len(),
                self.num_pending
            )),
        };
        let computed = (row.start..row.start + row.len).map(token);
        computed
            .chain(row.drafts.iter().map(|draft| Ok(Token::Known(*draft))))
            .collect()
    }

    /// The tokens that follow those of a row, whose scores are wanted.
    pub(super) fn followers(&self, row: &StepRow<'_>) -> Result<&[TokenId], String> {
        let positions = row.start + 1..row.start + 1 + row.len;
        self.tokens.get(positions.clone()).ok_or_else(|| {
            format!(
                "slot {} knows {} tokens, not positions {} to {}",
                row.slot.0,
                self.tokens.len(),
                positions.start,
                positions.end
            )
        })
    }

    fn launched(&mut self, want: Want<'_>) {
        self.num_pending += usize::from(want.is_token());
    }

    /// The row's choice has been read: these tokens, none if it was put off.
    pub(super) fn chose(&mut self, tokens: impl IntoIterator<Item = TokenId>) {
        self.num_pending -= 1;
        self.tokens.extend(tokens);
    }

    /// The row's choice came to nothing.
    pub(super) fn broke(&mut self) {
        self.num_pending -= 1;
        self.is_broken = true;
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// What is added to logits, each token once.
    pub(super) fn bias(&self) -> &[(TokenId, f32)] {
        &self.bias
    }
}

/// The sums of each token's biases.
fn merged(bias: &[(TokenId, f32)]) -> Vec<(TokenId, f32)> {
    let mut sums = BTreeMap::new();
    bias.iter()
        .for_each(|(token, value)| *sums.entry(*token).or_insert(0.0) += value);
    sums.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(start: usize, len: usize, drafts: &[TokenId]) -> StepRow<'_> {
        StepRow {
            slot: SlotId(0),
            start,
            len,
            drafts,
            blocks: &[],
            want: Want::Token,
        }
    }

    fn slots(tokens: &[TokenId]) -> Slots {
        let mut slots = Slots::default();
        slots.admit(&Admission {
            slot: SlotId(0),
            tokens,
            prompt_len: tokens.len(),
            sampling: &SamplingParams::default(),
        });
        slots
    }

    #[test]
    fn a_row_may_go_on_from_a_choice_that_the_host_has_not_read() {
        let mut slots = slots(&[5, 6]);
        let slot = slots.get_mut(SlotId(0), 1).unwrap();
        assert_eq!(
            slot.tokens(&row(0, 2, &[9])).unwrap(),
            [5, 6, 9].map(Token::Known)
        );
        assert!(slot.tokens(&row(2, 1, &[])).is_err());
        slot.launched(Want::Token);
        assert_eq!(slot.tokens(&row(2, 1, &[])).unwrap(), [Token::LastChosen]);
        assert!(slot.tokens(&row(3, 1, &[])).is_err());
        slot.chose([7]);
        assert_eq!(slot.tokens(&row(2, 1, &[])).unwrap(), [Token::Known(7)]);
    }

    #[test]
    fn a_choice_that_is_read_late_does_not_reach_the_next_sequence_in_the_slot() {
        let mut slots = slots(&[5, 6]);
        slots.admit(&Admission {
            slot: SlotId(0),
            tokens: &[8],
            prompt_len: 1,
            sampling: &SamplingParams::default(),
        });
        assert!(slots.get_mut(SlotId(0), 1).is_none());
        assert!(slots.get_mut(SlotId(0), 2).is_some());
    }
}
