//! Where words and numbers begin and end.

/// The character before a place.
pub(super) fn before(text: &str, at: usize) -> Option<char> {
    text[..at].chars().next_back()
}

/// The character at a place.
pub(super) fn after(text: &str, at: usize) -> Option<char> {
    text[at..].chars().next()
}

/// Whether a character belongs to the word that it touches. Letters of scripts that are written without spaces do not: an
/// address in the middle of a Chinese sentence touches those on both sides.
pub(super) fn is_word(c: char) -> bool {
    let has_no_spaces =
        matches!(c, '\u{0e00}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..);
    c == '_' || (c.is_alphanumeric() && !has_no_spaces)
}

/// Whether a word goes on over this place from the left. The letter of an escape (`\n` in a piece of JSON or code) is no
/// part of the word behind it.
pub(super) fn joins_left(text: &str, at: usize) -> bool {
    match before(text, at) {
        Some(c @ ('n' | 'r' | 't')) => before(text, at - c.len_utf8()) != Some('\\'),
        Some(c) => is_word(c),
        None => false,
    }
}

/// Whether a number may begin here: not in a word, behind a decimal point or behind the hyphen of a longer name.
pub(super) fn number_begins(text: &str, at: usize) -> bool {
    let far = |len: usize| before(text, at - len);
    match before(text, at) {
        Some('.') => far(1).is_some_and(|c| is_word(c) && !c.is_ascii_digit()),
        Some('-') => !far(1).is_some_and(is_word),
        _ => !joins_left(text, at),
    }
}

/// Whether a number may end here: not in a word, before a decimal point or before the hyphen of a longer name.
pub(super) fn number_ends(text: &str, at: usize) -> bool {
    let far = || after(text, at + 1);
    match after(text, at) {
        Some('.') => !far().is_some_and(|c| c.is_ascii_digit()),
        Some('-') => !far().is_some_and(is_word),
        Some(c) => !is_word(c),
        None => true,
    }
}

/// The places from `from` on where runs of ASCII digits begin.
pub(super) fn digit_runs(text: &str, from: usize) -> impl Iterator<Item = usize> {
    let bytes = text.as_bytes();
    let begins = |&at: &usize| {
        bytes[at].is_ascii_digit() && !at.checked_sub(1).is_some_and(|i| bytes[i].is_ascii_digit())
    };
    (from..bytes.len()).filter(begins)
}

/// The length of the run of ASCII digits that begins here.
pub(super) fn run_len(text: &str, start: usize) -> usize {
    text[start..].bytes().take_while(u8::is_ascii_digit).count()
}

/// The word at the end of a text; empty if it is a long one, which means none of the words that matter here.
pub(super) fn last_word(text: &str) -> &str {
    const MAX_WORD_LEN: usize = 32;
    let mut start = text.len();
    while let Some(c) = before(text, start).filter(|&c| is_word(c)) {
        start -= c.len_utf8();
        if text.len() - start > MAX_WORD_LEN {
            return "";
        }
    }
    &text[start..]
}
