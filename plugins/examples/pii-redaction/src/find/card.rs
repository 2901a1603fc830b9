//! Payment card numbers: a network's first digits and length, and the right check digit.

use std::ops::Range;

use super::{
    boundary::{digit_runs, number_begins, number_ends, run_len},
    groups::{self, Gap, Group},
};

const MAX_LEN: usize = 19;

pub(super) fn next(text: &str, from: usize) -> Option<Range<usize>> {
    // A first look that is quick: texts may be full of numbers.
    let may_begin = |&start: &usize| {
        matches!(run_len(text, start), 4 | 13..=MAX_LEN) && number_begins(text, start)
    };
    let mut starts = digit_runs(text, from).filter(may_begin);
    starts.find_map(|start| {
        let groups = groups::read(text, start, MAX_LEN);
        // The longest first: what follows a card's number is often a number, too.
        let mut prefixes = (1..=groups.len()).rev().map(|len| &groups[..len]);
        let card = prefixes.find(|groups| is_card(text, groups))?;
        Some(start..card.last()?.span.end)
    })
}

fn is_card(text: &str, groups: &[Group]) -> bool {
    let [_, rest @ ..] = groups else {
        return false;
    };
    let gap = rest.first().map_or(Gap::None, |group| group.gap);
    let is_grouped = matches!(gap, Gap::Space | Gap::Hyphen)
        && rest.iter().all(|group| group.gap == gap)
        && is_as_printed(groups);
    let end = groups.last().map_or(0, Group::end);
    if !(rest.is_empty() || is_grouped) || !number_ends(text, end) {
        return false;
    }
    let parts = groups.iter().map(|group| &text[group.span.clone()]);
    let number: String = parts.collect();
    is_of_a_network(&number) && has_right_check_digit(&number)
}

/// Groups of four, of which the last may be shorter, or American Express's and Diners Club's three groups.
fn is_as_printed(groups: &[Group]) -> bool {
    let lens: Vec<usize> = groups.iter().map(Group::len).collect();
    let is_of_fours = match lens.as_slice() {
        [fours @ .., last] => fours.iter().all(|&len| len == 4) && (1..=4).contains(last),
        [] => false,
    };
    let has_parentheses = groups.iter().any(|group| group.in_parentheses);
    (is_of_fours || matches!(lens.as_slice(), [4, 6, 4 | 5])) && !has_parentheses
}

/// Whether a network gives out numbers of this length that begin so. Lengths that a network could use and does not are
/// left out: one in ten of all numbers has the right check digit.
fn is_of_a_network(number: &str) -> bool {
    let Some(Ok(first)) = number.get(..4).map(str::parse::<u32>) else {
        return false;
    };
    let lengths = match first {
        // Visa; Mastercard and Mir; American Express.
        4000..=4999 => &[13, 16][..],
        2200..=2204 | 2221..=2720 | 5100..=5599 => &[16],
        3400..=3499 | 3700..=3799 => &[15],
        // Diners Club, JCB, Discover.
        3000..=3059 | 3600..=3699 | 3800..=3999 => &[14, 16],
        3528..=3589 | 6011 | 6440..=6599 => &[16],
        // UnionPay, Maestro.
        6200..=6299 => &[16, 17, 18, 19],
        5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763 => &[13, 14, 15, 16, 17, 18, 19],
        _ => &[],
    };
    lengths.contains(&number.len())
}

/// Luhn's rule: every second digit from the right is doubled, and the sum of all digits ends in 0.
fn has_right_check_digit(number: &str) -> bool {
    let digits = number.bytes().rev().map(|byte| u32::from(byte - b'0'));
    let sum: u32 = digits
        .enumerate()
        .map(|(i, digit)| match (i % 2, digit) {
            (1, 5..) => digit * 2 - 9,
            (1, _) => digit * 2,
            _ => digit,
        })
        .sum();
    sum.is_multiple_of(10)
}
