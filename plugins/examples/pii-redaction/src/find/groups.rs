//! Numbers as people write them: groups of digits with something between.

use std::ops::Range;

use super::boundary::after;

/// A group of digits.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) span: Range<usize>,
    /// What stands between this group and the one before.
    pub(super) gap: Gap,
    /// Whether it stands in parentheses.
    pub(super) in_parentheses: bool,
}

/// What stands between two groups, parentheses aside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Gap {
    /// Nothing: the first group, or one that only parentheses set apart.
    None,
    Space,
    Hyphen,
    Dot,
    Slash,
}

impl Group {
    pub(super) fn len(&self) -> usize {
        self.span.len()
    }

    /// Where what has this group as its last ends.
    pub(super) fn end(&self) -> usize {
        self.span.end + usize::from(self.in_parentheses)
    }
}

/// No number has more groups.
const MAX_GROUPS: usize = 8;

/// The groups of the number that begins here, until there are more than `max_digits` digits or [`MAX_GROUPS`] groups.
pub(super) fn read(text: &str, start: usize, max_digits: usize) -> Vec<Group> {
    let mut groups = Vec::with_capacity(MAX_GROUPS);
    let mut num_digits = 0;
    let mut at = start;
    while num_digits <= max_digits && groups.len() < MAX_GROUPS {
        let (gap, opens, digits) = match groups.is_empty() {
            true => (Gap::None, text[at..].starts_with('('), at),
            false => read_gap(text, at),
        };
        let first = digits + usize::from(opens);
        let rest = &text.as_bytes()[first..];
        // One digit more than allowed is enough to see that there are too many.
        let len = rest
            .iter()
            .take(max_digits + 1)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let closes = opens && rest.get(len) == Some(&b')');
        let is_apart = groups.is_empty() || gap != Gap::None || opens || text[..at].ends_with(')');
        if len == 0 || opens != closes || !is_apart {
            break;
        }
        groups.push(Group {
            span: first..first + len,
            gap,
            in_parentheses: opens,
        });
        num_digits += len;
        at = first + len + usize::from(closes);
    }
    groups
}

/// What stands between two groups: the gap, whether a parenthesis opens, and where what follows begins. One sign, which
/// may have a space on both sides.
fn read_gap(text: &str, mut at: usize) -> (Gap, bool, usize) {
    let skip_space = |at: usize| match after(text, at) {
        Some(c @ (' ' | '\u{a0}' | '\u{202f}')) => at + c.len_utf8(),
        _ => at,
    };
    let spaced = skip_space(at);
    let mut gap = if spaced > at { Gap::Space } else { Gap::None };
    at = spaced;
    let sign = match after(text, at) {
        Some(c @ ('-' | '\u{2010}' | '\u{2011}' | '\u{2013}')) => Some((Gap::Hyphen, c)),
        Some('.') => Some((Gap::Dot, '.')),
        Some('/') => Some((Gap::Slash, '/')),
        _ => None,
    };
    if let Some((sign, c)) = sign {
        gap = sign;
        at = skip_space(at + c.len_utf8());
    }
    (gap, text[at..].starts_with('('), at)
}
