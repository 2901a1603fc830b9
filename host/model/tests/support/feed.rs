//! Feeding sequences to a runner the way an engine would.

use engine::runner::{
    Admission, BlockId, ModelRunner, RowOutcome, SlotId, Step, StepRow, TokenId, Want,
};
use engine::sampling::SamplingParams;
use model::{CpuRunner, Input, Positions};

/// One sequence with blocks of its own.
pub(crate) struct Feed {
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) computed: usize,
    blocks: Vec<BlockId>,
}

impl Feed {
    /// `tokens` in the blocks from `first_block` on, in descending order, as blocks of a pool are in no order either.
    pub(crate) fn new(tokens: &[TokenId], first_block: u32, num_blocks: u32) -> Self {
        let blocks = (first_block..first_block + num_blocks)
            .rev()
            .map(BlockId)
            .collect();
        Self {
            tokens: tokens.to_vec(),
            computed: 0,
            blocks,
        }
    }

    /// The next `len` tokens that were not computed yet.
    pub(crate) fn input(&self, len: usize) -> Input<'_> {
        Input {
            tokens: &self.tokens[self.computed..][..len],
            start: self.computed,
            blocks: &self.blocks,
        }
    }

    /// All tokens that were not computed yet, for the one after them.
    fn row(&self, slot: SlotId) -> StepRow<'_> {
        StepRow {
            slot,
            start: self.computed,
            len: self.tokens.len() - self.computed,
            drafts: &[],
            blocks: &self.blocks,
            want: Want::Token,
        }
    }
}

/// The logits of every token of the sequence, computed in steps of `chunk_len` tokens.
pub(crate) fn logits_in_chunks(
    runner: &mut CpuRunner,
    feed: &mut Feed,
    chunk_len: usize,
) -> Vec<Vec<f32>> {
    let mut logits = Vec::new();
    while feed.computed < feed.tokens.len() {
        let len = chunk_len.min(feed.tokens.len() - feed.computed);
        logits.extend(runner.logits(&[feed.input(len)], Positions::All).unwrap());
        feed.computed += len;
    }
    logits
}

/// Lets every sequence grow by `count` greedy tokens, all in one batch, prompts whole.
pub(crate) fn greedy(runner: &mut CpuRunner, feeds: &mut [Feed], count: usize) {
    let sampling = SamplingParams::default();
    let admission = |(slot, feed)| {
        let feed: &Feed = feed;
        Admission {
            slot: SlotId(slot),
            tokens: &feed.tokens,
            prompt_len: feed.tokens.len(),
            sampling: &sampling,
        }
    };
    runner.launch(&Step {
        admissions: &(0..).zip(&*feeds).map(admission).collect::<Vec<_>>(),
        rows: &[],
    });
    assert_eq!(runner.collect().unwrap(), []);
    for _ in 0..count {
        let rows: Vec<StepRow<'_>> = (0..)
            .zip(&*feeds)
            .map(|(slot, feed)| feed.row(SlotId(slot)))
            .collect();
        runner.launch(&Step {
            admissions: &[],
            rows: &rows,
        });
        for (feed, outcome) in feeds.iter_mut().zip(runner.collect().unwrap()) {
            let RowOutcome::Chosen(tokens) = outcome else {
                panic!("every row wants a token: {outcome:?}");
            };
            feed.computed = feed.tokens.len();
            feed.tokens.extend(tokens.iter().map(|token| token.id));
        }
    }
}
