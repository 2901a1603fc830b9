//! How likely the tokens of a prompt were.

use std::sync::OnceLock;

use engine::{ChosenToken, TokenId};

use crate::decoder::Decoder;

/// Rows of logits that are in memory at once: 32 of 151,936 are 19 MB. Fewer would read the head's weights more often.
const SLAB_LEN: usize = 32;

/// How likely each of `tokens` was, one after each of the last batch's tokens from `first` on; `None` where logits say nothing.
pub(super) fn score(
    decoder: &Decoder,
    first: usize,
    tokens: &[TokenId],
    num_top: usize,
    vocab_len: usize,
) -> Option<Vec<ChosenToken>> {
    let mut scored = Vec::with_capacity(tokens.len());
    for (slab, tokens) in (0..).zip(tokens.chunks(SLAB_LEN)) {
        let start = first + slab * SLAB_LEN;
        let places: Vec<usize> = (start..start + tokens.len()).collect();
        let logits = decoder.logits(&places);
        let scores: Vec<OnceLock<Option<ChosenToken>>> =
            tokens.iter().map(|_| OnceLock::new()).collect();
        decoder.cpu().team().for_each(tokens.len(), |index| {
            let logits = &logits[index * vocab_len..][..vocab_len];
            scores[index].get_or_init(|| ChosenToken::scored(tokens[index], logits, num_top));
        });
        for score in scores {
            scored.push(score.into_inner().expect("the team has seen to each")?);
        }
    }
    Some(scored)
}
