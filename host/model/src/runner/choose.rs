//! From the logits of a step to its tokens.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Mutex;

use engine::runner::{RowOutcome, SlotId, StepRow, Want};
use engine::token_pool::TokenPool;
use kernels::Team;

/// The tokens of a row, drafts among them, after which one is to be chosen.
pub(super) fn wanted_of(row: &StepRow<'_>) -> Range<usize> {
    match row.want {
        Want::Nothing | Want::Scores { .. } | Want::Hidden(_) => 0..0,
        Want::Token | Want::TokenAmong(_) => row.len - 1..row.len + row.drafts.len(),
    }
}

/// Chooses the tokens of rows that were computed, each of another slot, side by side. `logits` has those that they want, row
/// after row.
pub(super) fn choose(
    pool: &mut TokenPool,
    team: &Team,
    rows: &[&StepRow<'_>],
    logits: &[f32],
    vocab_len: usize,
) -> HashMap<SlotId, RowOutcome> {
    let mut rest = logits;
    let mut wanting = HashMap::with_capacity(rows.len());
    for &row in rows {
        let (own, others) = rest.split_at(wanted_of(row).len() * vocab_len);
        rest = others;
        wanting.insert(row.slot, (row, own));
    }
    let choices: Vec<_> = pool
        .slots_mut()
        .filter_map(|(id, slot)| Some((Mutex::new(slot), wanting.remove(&id)?)))
        .collect();
    let outcomes = Mutex::new(HashMap::with_capacity(choices.len()));
    team.for_each(choices.len(), |index| {
        let (slot, (row, logits)) = &choices[index];
        let mut slot = slot.lock().expect("each is locked once");
        let outcome = slot.choose(row, logits.chunks_exact(vocab_len));
        let mut outcomes = outcomes.lock().expect(UNHARMED);
        outcomes.insert(row.slot, outcome);
    });
    outcomes.into_inner().expect(UNHARMED)
}

const UNHARMED: &str = "a sampler that panicked ended the step";
