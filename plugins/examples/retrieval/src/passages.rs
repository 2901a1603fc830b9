//! Cuts a text into passages: short enough that several fit into a prompt, long enough to be understood alone.

/// Most characters of a passage.
const MAX_CHARS: usize = 1000;

/// The passages of a text in order: whole paragraphs where they are short enough, several together where they are shorter.
pub(crate) fn passages(text: &str) -> Vec<String> {
    // Control characters mean nothing to a reader, and would take six bytes each in the store.
    let text: String = text
        .replace("\r\n", "\n")
        .chars()
        .filter(|&c| c == '\n' || !c.is_control())
        .collect();
    let mut passages = Vec::new();
    let mut passage = String::new();
    for piece in text.split("\n\n").flat_map(pieces) {
        let together = passage.chars().count() + 2 + piece.chars().count();
        if !passage.is_empty() && together > MAX_CHARS {
            passages.push(std::mem::take(&mut passage));
        }
        if !passage.is_empty() {
            passage.push_str("\n\n");
        }
        passage.push_str(piece);
    }
    if !passage.is_empty() {
        passages.push(passage);
    }
    passages
}

/// A paragraph, cut where it is longer than a passage.
fn pieces(paragraph: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = paragraph.trim();
    while let Some((limit, _)) = rest.char_indices().nth(MAX_CHARS) {
        let (piece, behind) = rest.split_at(cut(&rest[..limit]));
        pieces.push(piece.trim_end());
        rest = behind.trim_start();
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// Where a piece ends that may be as long as `window`: behind a sentence, unless that leaves little of it; else between words;
/// else anywhere.
fn cut(window: &str) -> usize {
    let behind = |(at, c): (usize, char)| at + c.len_utf8();
    let ends_sentence = |c| matches!(c, '.' | '!' | '?' | '。' | '！' | '？' | '\n');
    let is_end = |&(at, c): &(usize, char)| {
        let next = window[at + c.len_utf8()..].chars().next();
        ends_sentence(c) && (!c.is_ascii() || c == '\n' || next.is_some_and(char::is_whitespace))
    };
    let sentence = window.char_indices().rev().find(is_end).map(behind);
    let word = window
        .char_indices()
        .rev()
        .find(|(_, c)| c.is_whitespace())
        .map(behind);
    sentence
        .filter(|&end| end > window.len() / 2)
        .or(word)
        .unwrap_or(window.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_paragraphs_share_a_passage() {
        assert_eq!(
            passages("One.\r\n\r\nTwo.\n\n\n\n Three. \n"),
            ["One.\n\nTwo.\n\nThree."]
        );
        assert!(passages(" \n\n ").is_empty());
    }

    #[test]
    fn a_paragraph_that_no_longer_fits_begins_a_passage() {
        let (first, second) = ("a".repeat(600), "b".repeat(600));
        assert_eq!(passages(&format!("{first}\n\n{second}")), [first, second]);
    }

    #[test]
    fn a_long_paragraph_is_cut_behind_a_sentence() {
        let sentence = "The valve of version 1.5 opens at noon. ";
        let text = sentence.repeat(60);
        let found = passages(&text);
        assert!(found.len() > 2);
        for passage in &found {
            assert!(passage.chars().count() <= MAX_CHARS);
            assert!(passage.ends_with("noon."), "{passage}");
        }
        assert_eq!(found.join(" "), text.trim());
    }

    #[test]
    fn a_text_without_sentences_is_cut_between_words_and_one_without_words_anywhere() {
        let words = passages(&"word ".repeat(300));
        assert!(words.iter().all(|passage| passage.ends_with("word")));
        let signs = passages(&"字".repeat(2500));
        assert_eq!(
            signs
                .iter()
                .map(|passage| passage.chars().count())
                .collect::<Vec<_>>(),
            [1000, 1000, 500]
        );
    }

    #[test]
    fn control_characters_are_left_out() {
        assert_eq!(passages("a\0b\u{1b}[0m"), ["ab[0m"]);
    }
}
