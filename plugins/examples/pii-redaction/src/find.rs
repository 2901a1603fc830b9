//! Where in a text personal data stands.

mod boundary;
mod card;
mod digits;
mod email;
mod groups;
mod iban;
mod ip;
mod phone;

use std::{borrow::Cow, ops::Range};

use crate::{Kind, Settings};

/// What of the kinds asked for stands in the text, in order and without overlaps.
///
/// What is found is blanked at once, so that no other kind sees it and its borders are borders of words. That may show what
/// was hidden by it, so the search ends only when it finds nothing more.
pub(crate) fn find(text: &str, settings: &Settings) -> Vec<(Range<usize>, Kind)> {
    let has_digits = text.bytes().any(|byte| byte.is_ascii_digit());
    let is_asked = |kind: &Kind| settings.kinds.contains(kind);
    let is_possible = |kind: &Kind| has_digits || *kind == Kind::Email;
    let mut found = Vec::new();
    let mut rest = Cow::Borrowed(text);
    loop {
        let num_found = found.len();
        for kind in Kind::ALL.into_iter().filter(is_asked).filter(is_possible) {
            let mut from = 0;
            while let Some(span) = next(kind, &rest, from, settings) {
                rest.to_mut()
                    .replace_range(span.clone(), &"\0".repeat(span.len()));
                from = span.end;
                found.push((span, kind));
            }
        }
        if found.len() == num_found {
            break;
        }
    }
    found.sort_unstable_by_key(|(span, _)| span.start);
    found
}

/// The first value of a kind that begins at `from` or later.
fn next(kind: Kind, text: &str, from: usize, settings: &Settings) -> Option<Range<usize>> {
    match kind {
        Kind::Email => email::next(text, from),
        Kind::Ip => ip::next(text, from),
        Kind::Iban => iban::next(text, from),
        Kind::Card => card::next(text, from),
        Kind::Phone => phone::next(text, from),
        Kind::Digits => digits::next(text, from, settings.min_digits),
    }
}
