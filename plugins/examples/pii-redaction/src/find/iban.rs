//! International bank account numbers: the length is their country's, and their check digits are right.

use std::ops::Range;

use super::boundary::{after, is_word, joins_left};

/// Each country's code and the length of its numbers, as the registry of ISO 13616 has them.
const LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 \
    DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 \
    KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 \
    PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30";

pub(super) fn next(text: &str, from: usize) -> Option<Range<usize>> {
    let looks_right = |&at: &usize| {
        matches!(text.as_bytes()[at..], [a, b, c, d, ..] if a.is_ascii_alphabetic()
            && b.is_ascii_alphabetic() && c.is_ascii_digit() && d.is_ascii_digit())
    };
    let mut places = (from..text.len()).filter(looks_right);
    places.find_map(|at| Some(at..end(text, at)?))
}

/// Where the number that begins here ends, if it is one.
fn end(text: &str, start: usize) -> Option<usize> {
    if joins_left(text, start) {
        return None;
    }
    let len = length(&text[start..start + 2])?;
    let mut number = String::with_capacity(len);
    let mut end = start;
    while number.len() < len {
        let c = after(text, end)?;
        if c.is_ascii_alphanumeric() {
            number.push(c.to_ascii_uppercase());
        } else if !is_gap(c) || !number.len().is_multiple_of(4) || text[..end].ends_with(is_gap) {
            return None;
        }
        end += c.len_utf8();
    }
    let ends = !after(text, end).is_some_and(is_word);
    (ends && has_right_check_digits(&number)).then_some(end)
}

/// What stands between the groups of four on paper.
fn is_gap(c: char) -> bool {
    matches!(c, ' ' | '-' | '\u{a0}' | '\u{202f}')
}

fn length(country: &str) -> Option<usize> {
    let mut entries = LENGTHS.split_ascii_whitespace();
    let entry = entries.find(|entry| entry[..2].eq_ignore_ascii_case(country))?;
    entry[2..].parse().ok()
}

/// The first four characters go to the end, letters count from 10, and the whole number leaves 1 when divided by 97.
fn has_right_check_digits(number: &str) -> bool {
    let (head, rest) = number.split_at(4);
    let values = rest
        .chars()
        .chain(head.chars())
        .filter_map(|c| c.to_digit(36));
    let remainder = values.fold(0, |remainder, value| {
        let shift = if value < 10 { 10 } else { 100 };
        (remainder * shift + value) % 97
    });
    remainder == 1
}
