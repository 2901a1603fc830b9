//! Texts that are JSON, such as the arguments of a call and the results of many tools: what they hold is looked at without
//! its escapes, and they are still JSON afterwards. Everything that is not replaced stays as its author wrote it.

use serde::de::IgnoredAny;

/// Whether the whole text is a JSON object or list.
pub(crate) fn is_container(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Has `replace` look at each string (keys too) and number of a valid JSON text. A number that it replaces becomes a string.
/// Nothing where it replaced nothing.
pub(crate) fn rewrite(
    json: &str,
    mut replace: impl FnMut(&str) -> Option<String>,
) -> Option<String> {
    let mut rewritten = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(&byte) = json.as_bytes().get(at) {
        let end = match byte {
            b'"' => at + string_len(&json[at..]),
            b'-' | b'0'..=b'9' => at + number_len(&json[at..]),
            _ => {
                at += 1;
                continue;
            }
        };
        let token = &json[at..end];
        // An escape that stands for no character, such as half a surrogate pair, leaves the token to be read as it is.
        let value = serde_json::from_str::<String>(token);
        if let Some(replaced) = replace(value.as_deref().unwrap_or(token.trim_matches('"'))) {
            rewritten.push_str(&json[copied..at]);
            rewritten.push_str(&quoted(&replaced));
            copied = end;
        }
        at = end;
    }
    (copied > 0).then(|| rewritten + &json[copied..])
}

/// The length of the string literal that a valid JSON text goes on with, quotes included.
fn string_len(json: &str) -> usize {
    let mut escaped = false;
    let is_end = |&(_, byte): &(usize, u8)| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    };
    let end = json.bytes().enumerate().skip(1).find(is_end);
    end.map_or(json.len(), |(at, _)| at + 1)
}

/// The length of the number that a valid JSON text goes on with.
fn number_len(json: &str) -> usize {
    json.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'))
        .unwrap_or(json.len())
}

/// A string as a JSON literal.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string always serialises")
}
