//! Feeding sequences to a runner the way an engine would.

use engine::runner::{BlockId, ModelRunner, StepRow, TokenId};
use engine::sampling::SamplingParams;
use model::{CpuRunner, Positions};

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
    pub(crate) fn row<'a>(&'a self, len: usize, sample: Option<&'a SamplingParams>) -> StepRow<'a> {
        let tokens = &self.tokens[self.computed..][..len];
        StepRow {
            tokens,
            start: self.computed,
            blocks: &self.blocks,
            sample,
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
        logits.extend(
            runner
                .logits(&[feed.row(len, None)], Positions::All)
                .unwrap(),
        );
        feed.computed += len;
    }
    logits
}

/// Lets every sequence grow by `count` greedy tokens, all in one batch, prompts whole.
pub(crate) fn greedy(runner: &mut CpuRunner, feeds: &mut [Feed], count: usize) {
    let params = SamplingParams::default();
    for _ in 0..count {
        let rows: Vec<StepRow<'_>> = feeds
            .iter()
            .map(|feed| feed.row(feed.tokens.len() - feed.computed, Some(&params)))
            .collect();
        let tokens = runner.step(&rows).unwrap();
        for (feed, token) in feeds.iter_mut().zip(tokens) {
            feed.computed = feed.tokens.len();
            feed.tokens.push(token.expect("every row was sampled"));
        }
    }
}
