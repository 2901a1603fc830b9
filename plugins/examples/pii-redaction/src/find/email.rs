//! E-mail addresses whose domain has a dot.

use std::ops::Range;

use super::boundary::{after, before, is_word};

/// The longest part before the `@`, and the longest domain, by the standards of mail.
const MAX_LOCAL_LEN: usize = 64;
const MAX_DOMAIN_LEN: usize = 253;

pub(super) fn next(text: &str, from: usize) -> Option<Range<usize>> {
    let mut signs = text[from..].match_indices('@').map(|(at, _)| from + at);
    signs.find_map(|at| {
        let start = local_start(text, at)?;
        let end = domain_end(text, at + 1)?;
        // The user of every Git server; the address of a repository names nobody.
        (&text[start..at] != "git").then_some(start..end)
    })
}

fn local_start(text: &str, at: usize) -> Option<usize> {
    let mut start = at;
    while let Some(c) = before(text, start)
        && (is_word(c) || ".+-%'".contains(c))
        && !is_escape(text, start, c)
    {
        start -= c.len_utf8();
        if at - start > MAX_LOCAL_LEN {
            return None;
        }
    }
    // What stands in front of a name, such as a quote, is not part of it.
    let local = text[start..at].trim_start_matches(|c| !is_word(c));
    (!local.is_empty()).then_some(at - local.len())
}

/// Whether `c`, which ends at `end`, is the letter of an escape such as `\n`.
fn is_escape(text: &str, end: usize, c: char) -> bool {
    matches!(c, 'n' | 'r' | 't') && before(text, end - c.len_utf8()) == Some('\\')
}

fn domain_end(text: &str, start: usize) -> Option<usize> {
    let mut end = start;
    while let Some(c) = after(text, end)
        && (c == '.' || c == '-' || (is_word(c) && c != '_'))
    {
        end += c.len_utf8();
        if end - start > MAX_DOMAIN_LEN {
            return None;
        }
    }
    // A call (`a@b.mean()`) or a longer name: this is code.
    if matches!(after(text, end), Some('(' | '_' | '@')) {
        return None;
    }
    let domain = text[start..end].trim_end_matches(['.', '-']);
    is_domain(domain).then_some(start + domain.len())
}

fn is_domain(domain: &str) -> bool {
    let labels: Vec<&str> = domain.split('.').collect();
    let [first, second, ..] = labels.as_slice() else {
        return false;
    };
    let is_sane =
        |label: &&str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
    let starts_with_digit = |label: &str| label.starts_with(|c: char| c.is_ascii_digit());
    let is_number = first.bytes().all(|byte| byte.is_ascii_digit());
    let last = labels.last().copied().unwrap_or_default();
    // `package@1.2-rc.beta` is a version, `icon@2x.png` a file.
    let is_version = is_number && starts_with_digit(second);
    let is_scale = first.len() == 2 && starts_with_digit(first) && first.ends_with('x');
    let is_top_level = last.chars().count() >= 2
        && (last.chars().all(char::is_alphabetic) || last.to_ascii_lowercase().starts_with("xn--"));
    labels.iter().all(is_sane) && is_top_level && !is_version && !is_scale
}
