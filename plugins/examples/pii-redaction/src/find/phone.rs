//! Phone numbers: international ones, and national ones in the forms of North America, of the countries that dial a 0
//! first, and of Chinese mobiles.
//!
//! A number without any sign that it is one (ten digits in a row, `612 345 678`) is left alone: so are too many others
//! written.

mod national;

use std::ops::Range;

use super::{
    boundary::{after, before, is_word, joins_left, number_begins, number_ends, run_len},
    groups::{self, Gap, Group},
};

/// The most digits of a number, country code and the `00` before it included.
const MAX_DIGITS: usize = 17;

pub(super) fn next(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let is_inside = |at: usize| at > 0 && bytes[at - 1].is_ascii_digit();
    (from..bytes.len()).find_map(|at| {
        let end = match bytes[at] {
            b'+' => after_plus(text, at),
            b'(' | b'0'..=b'9' if !is_inside(at) => without_plus(text, at),
            _ => None,
        };
        Some(at..end?)
    })
}

/// Where the international number behind a plus ends.
fn after_plus(text: &str, plus: usize) -> Option<usize> {
    let begins = !joins_left(text, plus) && before(text, plus) != Some('+');
    let groups = groups::read(text, plus + 1, MAX_DIGITS);
    longest(text, groups.as_slice(), |groups| {
        begins && is_international(text, groups, 0)
    })
}

fn without_plus(text: &str, start: usize) -> Option<usize> {
    let begins = text[start..].starts_with('(') || number_begins(text, start);
    if !may_begin(text, start) || !begins || is_amount_or_path(text, start) {
        return None;
    }
    let groups = groups::read(text, start, MAX_DIGITS);
    longest(text, &groups, |groups| {
        national::is_north_american(text, groups)
            || national::is_chinese_mobile(text, groups)
            || national::is_with_trunk_0(text, groups)
            || (is_dialled_abroad(text, groups) && is_international(text, groups, 2))
    })
}

/// A first look that is quick: texts may be full of numbers.
fn may_begin(text: &str, start: usize) -> bool {
    match (&text.as_bytes()[start..], run_len(text, start)) {
        ([b'(', ..], _) => true,
        ([b'0', ..], len) => len > 1,
        // North America's country code.
        ([b'1', _, next, ..], 1) => matches!(next, b'(' | b'2'..=b'9'),
        (_, len) => matches!(len, 3 | 11),
    }
}

/// The end of the longest beginning of `groups` that is a number: what follows one may be digits, too.
fn longest(text: &str, groups: &[Group], is_number: impl Fn(&[Group]) -> bool) -> Option<usize> {
    let prefixes = (1..=groups.len()).rev().map(|len| &groups[..len]);
    let ends = |end: usize| number_ends(text, end) && !goes_on_as_time(text, end);
    prefixes
        .filter(|groups| is_number(groups))
        .filter_map(|groups| groups.last().map(Group::end))
        .find(|&end| ends(end))
}

fn goes_on_as_time(text: &str, end: usize) -> bool {
    after(text, end) == Some(':') && after(text, end + 1).is_some_and(|c| c.is_ascii_digit())
}

/// `€0301234567`, `/orders/0301234567`
fn is_amount_or_path(text: &str, start: usize) -> bool {
    match before(text, start) {
        Some('$' | '€' | '£' | '¥') => true,
        Some('/') => before(text, start - 1).is_some_and(|c| is_word(c) && !c.is_ascii_digit()),
        _ => false,
    }
}

/// `0049 30 …`: what is split after the country's code, or too long to be a number that zeros fill up.
fn is_dialled_abroad(text: &str, groups: &[Group]) -> bool {
    let first = &text[groups[0].span.clone()];
    let is_split = groups.len() > 1 && first.len() <= 6;
    first.starts_with("00") && (is_split || first.len() >= 12)
}

/// A country code and a number: `skip` digits, then 8 to 15 that do not begin with 0.
fn is_international(text: &str, groups: &[Group], skip: usize) -> bool {
    // `+49 (0)30 …`: the 0 is for callers from within the country.
    let is_trunk = |group: &&Group| group.in_parentheses && &text[group.span.clone()] == "0";
    let num_digits: usize = groups
        .iter()
        .filter(|group| !is_trunk(group))
        .map(Group::len)
        .sum();
    let code = text[groups[0].span.start + skip..].bytes().next();
    (8 + skip..=15 + skip).contains(&num_digits)
        && groups.len() <= 7
        && !groups[0].in_parentheses
        && matches!(code, Some(b'1'..=b'9'))
        && has_sane_end(groups)
}

/// A single digit at the end is an extension behind a hyphen, or no part of the number.
fn has_sane_end(groups: &[Group]) -> bool {
    groups.len() == 1
        || groups
            .last()
            .is_some_and(|last| last.len() > 1 || last.gap == Gap::Hyphen)
}
