//! Hidden states for embeddings.

use std::ops::Range;

use engine::Pooling;

use crate::decoder::Decoder;

/// Hidden states that are copied at once.
const SLAB_LEN: usize = 64;

/// The hidden state of the last of these tokens of the last batch, or the sum of those of all.
pub(super) fn pool(
    decoder: &Decoder,
    tokens: Range<usize>,
    pooling: Pooling,
    hidden_len: usize,
) -> Vec<f64> {
    let tokens: Vec<usize> = match pooling {
        Pooling::Last => vec![tokens.end - 1],
        Pooling::Mean => tokens.collect(),
    };
    let mut sum = vec![0.0; hidden_len];
    for slab in tokens.chunks(SLAB_LEN) {
        for state in decoder.hidden(slab).chunks_exact(hidden_len) {
            let parts = sum.iter_mut().zip(state);
            parts.for_each(|(sum, number)| *sum += f64::from(*number));
        }
    }
    sum
}
