//! Numbers without a country code, in the forms of those who write them with some sign of what they are.

use super::has_sane_end;
use crate::find::{
    boundary::last_word,
    groups::{Gap, Group},
};

/// `(555) 234-5678`, `555-234-5678`, `1-800-555-0199`: three, three and four digits, neither code beginning with 0 or 1.
pub(super) fn is_north_american(text: &str, groups: &[Group]) -> bool {
    // Three numbers of a row of numbers: with nothing but spaces between, there is no other sign.
    let begin = &text[..groups[0].span.start];
    let follows_number =
        begin.ends_with(' ') && begin.trim_end().ends_with(|c: char| c.is_ascii_digit());
    let groups = match groups {
        [country, rest @ ..] if &text[country.span.clone()] == "1" => rest,
        groups => groups,
    };
    let [area, exchange, line] = groups else {
        return false;
    };
    let is_code = |group: &Group| {
        group.len() == 3 && matches!(text.as_bytes()[group.span.start], b'2'..=b'9')
    };
    let is_joined = match area.in_parentheses {
        true => line.gap != Gap::Slash,
        false => match line.gap {
            Gap::Space => exchange.gap == Gap::Space && !follows_number,
            gap => exchange.gap == gap && gap != Gap::Slash,
        },
    };
    is_code(area) && is_code(exchange) && line.len() == 4 && is_joined && line.gap != Gap::None
}

/// `13812345678`, `138 1234 5678`
pub(super) fn is_chinese_mobile(text: &str, groups: &[Group]) -> bool {
    // 16 GiB in bytes: the one number of this form that programs are full of.
    const POWER_OF_TWO: &str = "17179869184";
    let digits = &text[groups[0].span.clone()];
    let is_mobile = matches!(digits.as_bytes(), [b'1', b'3'..=b'9', ..]);
    let is_joined = match groups {
        [only] => only.len() == 11 && digits != POWER_OF_TWO,
        [a, b, c] => [a.len(), b.len(), c.len()] == [3, 4, 4] && b.gap == c.gap && is_light(b.gap),
        _ => false,
    };
    is_mobile && is_joined && !groups[0].in_parentheses
}

/// A 0, an area or network, and a number: `030 1234567`, `0151/23456789`, `(020) 7946 0958`, `06.12.34.56.78`.
pub(super) fn is_with_trunk_0(text: &str, groups: &[Group]) -> bool {
    let [area, rest @ ..] = groups else {
        return false;
    };
    let digits = &text[area.span.clone()];
    let num_digits: usize = groups.iter().map(Group::len).sum();
    if !matches!(digits.as_bytes(), [b'0', b'1'..=b'9', ..]) || groups.len() > 5 {
        return false;
    }
    let Some(first_gap) = rest.first().map(|group| group.gap) else {
        return !area.in_parentheses && is_plain_with_trunk_0(digits);
    };
    let lens: Vec<usize> = groups.iter().map(Group::len).collect();
    let gaps = || rest[1..].iter().map(|group| group.gap);
    let is_joined = match first_gap {
        // Versions and dates have dots, too; five pairs have none but French numbers.
        Gap::Dot => lens == [2; 5] && gaps().all(|gap| gap == Gap::Dot),
        Gap::Slash | Gap::None => gaps().all(is_light),
        Gap::Space | Gap::Hyphen => {
            gaps().all(is_light) && gaps().all(|gap| Some(gap) == gaps().next())
        }
    };
    let is_split_well = match area.len() {
        2 => (lens == [2; 5] || lens[1] >= 3) && !is_among_hex(text, groups),
        3..=6 => true,
        _ => false,
    };
    is_joined
        && is_split_well
        && (9..=12).contains(&num_digits)
        && has_sane_end(groups)
        && !is_date(text, groups)
}

/// Digits in a row: ten or eleven, or the twelve of a German mobile. Article numbers have twelve, too.
fn is_plain_with_trunk_0(digits: &str) -> bool {
    let is_german_mobile = ["015", "016", "017"]
        .iter()
        .any(|net| digits.starts_with(net));
    match digits.len() {
        10 => digits != "0123456789",
        11 => true,
        12 => is_german_mobile,
        _ => false,
    }
}

/// Whether these are bytes in a row of bytes: `8B 05 04 00 00 00`.
fn is_among_hex(text: &str, groups: &[Group]) -> bool {
    let is_hex = |word: &str| {
        word.bytes().all(|byte| byte.is_ascii_hexdigit())
            && word.bytes().any(|byte| byte.is_ascii_digit())
    };
    let (start, end) = (groups[0].span.start, groups[groups.len() - 1].end());
    let left = text[..start].strip_suffix([' ', '-']).map(last_word);
    let right = text[end..].strip_prefix([' ', '-']).and_then(|rest| {
        let len = rest
            .bytes()
            .take(3)
            .take_while(u8::is_ascii_alphanumeric)
            .count();
        (len == 2).then(|| &rest[..len])
    });
    left.is_some_and(is_hex) || right.is_some_and(is_hex)
}

fn is_light(gap: Gap) -> bool {
    matches!(gap, Gap::Space | Gap::Hyphen)
}

/// `01 02 2024 …`, and the same without its first number
fn is_date(text: &str, groups: &[Group]) -> bool {
    let value = |group: &Group| text[group.span.clone()].parse().unwrap_or(u32::MAX);
    let is_month = |group: &Group| group.len() == 2 && value(group) <= 31;
    let is_year = |group: &Group| group.len() == 4 && (1900..2100).contains(&value(group));
    match groups {
        [month, year, ..] if is_month(month) && is_year(year) => true,
        [day, month, year, ..] => is_month(day) && is_month(month) && is_year(year),
        _ => false,
    }
}
