//! Guesses at what a sequence says next, which the model checks several at a time.
//!
//! A guess is right where it is the very token that would have been chosen at that place anyway, with that place's own
//! random number. So speculation changes no text, greedy or sampled, whatever the guesses; and as a guess names one token,
//! the chance that it is right is the probability of that token, which is the best that any exact scheme can reach
//! (Leviathan et al. 2023, for a draft distribution of one point).

use crate::runner::TokenId;

/// Guesses how sequences go on.
pub trait Drafter: Send {
    /// At most `max_len` tokens to follow `tokens`; none where it has no idea.
    fn draft(&mut self, tokens: &[TokenId], max_len: usize) -> Vec<TokenId>;
}

/// Prompt lookup (Saxena 2023): what followed the last few tokens when they last occurred.
#[derive(Clone, Copy, Debug)]
pub struct NgramDrafter {
    /// The most tokens that are looked for.
    max_ngram_len: usize,
    /// The fewest: shorter matches are chance.
    min_ngram_len: usize,
}

impl Default for NgramDrafter {
    fn default() -> Self {
        Self {
            max_ngram_len: 4,
            min_ngram_len: 2,
        }
    }
}

/// How far back is looked: a bound on the time that one guess may take.
const WINDOW_LEN: usize = 8192;

impl Drafter for NgramDrafter {
    fn draft(&mut self, tokens: &[TokenId], max_len: usize) -> Vec<TokenId> {
        let tokens = &tokens[tokens.len().saturating_sub(WINDOW_LEN)..];
        let Some(&last) = tokens.last() else {
            return Vec::new();
        };
        let mut best = (0, 0);
        // Ends of earlier occurrences, the latest first, so that it wins among equals.
        for end in (1..tokens.len())
            .rev()
            .filter(|&end| tokens[end - 1] == last)
        {
            let backwards = tokens[..end].iter().rev().zip(tokens.iter().rev());
            let len = backwards
                .take(self.max_ngram_len)
                .take_while(|(a, b)| a == b)
                .count();
            if len > best.0 {
                best = (len, end);
            }
            if len == self.max_ngram_len {
                break;
            }
        }
        let (len, end) = best;
        if len < self.min_ngram_len {
            return Vec::new();
        }
        // A copy may run into itself, as in LZ77: a text that goes round in circles is guessed to go on so.
        let mut drafts = Vec::with_capacity(max_len);
        for position in end..end + max_len {
            let known = tokens.get(position);
            drafts.push(*known.unwrap_or_else(|| &drafts[position - tokens.len()]));
        }
        drafts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(tokens: &[TokenId], max_len: usize) -> Vec<TokenId> {
        NgramDrafter::default().draft(tokens, max_len)
    }

    #[test]
    fn what_followed_the_last_tokens_before_is_guessed_again() {
        assert_eq!(draft(&[5, 1, 2, 3, 4, 9, 1, 2], 2), [3, 4]);
    }

    #[test]
    fn the_longest_match_wins_and_the_latest_among_equals() {
        assert_eq!(draft(&[7, 1, 2, 3, 8, 1, 2, 4, 7, 1, 2], 1), [3]);
        assert_eq!(draft(&[1, 2, 3, 6, 1, 2, 4, 6, 0, 1, 2], 1), [4]);
    }

    #[test]
    fn a_chance_match_or_none_guesses_nothing() {
        assert!(draft(&[], 4).is_empty());
        assert!(draft(&[1, 2, 3, 9, 3], 4).is_empty());
        assert!(draft(&[1, 2, 3], 4).is_empty());
    }

    #[test]
    fn a_text_that_goes_round_in_circles_goes_on_so() {
        assert_eq!(draft(&[4, 4, 4], 3), [4, 4, 4]);
        assert_eq!(draft(&[1, 2, 3, 1, 2], 7), [3, 1, 2, 3, 1, 2, 3]);
    }
}
