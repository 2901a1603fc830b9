//! Long runs of digits: numbers of customers, accounts, passports, whatever they are.

use std::ops::Range;

use super::boundary::{digit_runs, number_begins, number_ends, run_len};

/// A run of at least `min_len` digits.
pub(super) fn next(text: &str, from: usize, min_len: usize) -> Option<Range<usize>> {
    digit_runs(text, from).find_map(|start| {
        let len = run_len(text, start);
        let end = start + len;
        let stands_alone = number_begins(text, start) && number_ends(text, end);
        (len >= min_len && stands_alone).then_some(start..end)
    })
}
