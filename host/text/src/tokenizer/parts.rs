//! Long texts are encoded in parts, side by side: a prompt of 8,000 tokens is on its way for milliseconds otherwise.
//!
//! A text is cut before a blank between two ASCII letters. There every pattern known here ends one word and begins another: letters
//! are matched only by a run of letters, which a blank ends, and the blank goes with the run after it. Merges stay within words.

use serde_json::Value;

use super::gguf::{LLAMA3, QWEN2};

/// Bytes that are worth a thread's while.
const PART_LEN: usize = 4 << 10;

/// Whether the tokens of a text are those of its parts.
pub(super) fn may_be_cut(encoder: &tokenizers::Tokenizer) -> bool {
    let as_json = |part: Option<serde_json::Result<Value>>| match part {
        None => Some(Value::Null),
        Some(json) => json.ok(),
    };
    let normalizer = as_json(encoder.get_normalizer().map(serde_json::to_value));
    let splitter = as_json(encoder.get_pre_tokenizer().map(serde_json::to_value));
    // Composing accents changes nothing at ASCII letters.
    let keeps_places = normalizer.is_some_and(|json| json.is_null() || json["type"] == "NFC");
    let mut added = encoder.get_added_tokens_decoder().into_values();
    keeps_places
        && splitter.is_some_and(|json| splits_at_blanks(&json))
        && !added.any(|token| token.content.contains(' '))
}

fn splits_at_blanks(splitter: &Value) -> bool {
    match splitter["type"].as_str() {
        Some("Sequence") => splitter["pretokenizers"]
            .as_array()
            .is_some_and(|all| all.iter().all(splits_at_blanks)),
        Some("ByteLevel") => splitter["add_prefix_space"] == false,
        Some("Digits") => true,
        Some("Split") => {
            let pattern = splitter["pattern"]["Regex"].as_str();
            pattern.is_some_and(|pattern| [QWEN2, LLAMA3].contains(&pattern))
                && splitter["behavior"] == "Isolated"
                && splitter["invert"] == false
        }
        _ => false,
    }
}

/// The text in parts of about the same length, at most `most` of them.
pub(super) fn parts(text: &str, most: usize) -> Vec<&str> {
    let num_parts = (text.len() / PART_LEN).min(most).max(1);
    let mut parts = Vec::with_capacity(num_parts);
    let mut start = 0;
    for number in 1..num_parts {
        let wanted = (text.len() / num_parts * number).max(start + 1);
        let Some(end) = next_cut(text, wanted) else {
            break;
        };
        parts.push(&text[start..end]);
        start = end;
    }
    parts.push(&text[start..]);
    parts
}

/// The first place from `from` on where the text may be cut.
fn next_cut(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_cut = |at: &usize| {
        bytes[at - 1].is_ascii_alphabetic()
            && bytes[*at] == b' '
            && bytes[at + 1].is_ascii_alphabetic()
    };
    (from..bytes.len().saturating_sub(1)).find(is_cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_whole_and_end_between_two_words() {
        let text = "naïve words 12 34, and ｆｕｌｌ width\n\n".repeat(2000);
        let parts = parts(&text, 7);
        assert_eq!(parts.len(), 7);
        assert_eq!(parts.concat(), text);
        for pair in parts.windows(2) {
            assert!(pair[0].ends_with(|last: char| last.is_ascii_alphabetic()));
            assert!(
                pair[1].starts_with(' ')
                    && pair[1][1..].starts_with(|first: char| first.is_ascii_alphabetic())
            );
        }
    }

    #[test]
    fn a_text_without_such_a_place_stays_whole() {
        for text in [
            "1 2 ".repeat(8000),
            "ｗ ｗ".repeat(8000),
            "word".repeat(8000),
            "a ".repeat(2),
            String::new(),
        ] {
            assert_eq!(parts(&text, 8), [&text[..]]);
        }
    }
}
