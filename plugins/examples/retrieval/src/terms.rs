//! The words by which texts and questions meet.

/// Longer ones are no words but data, and nobody asks for them.
const MAX_TERM_CHARS: usize = 64;

/// The words of a text in lower case, as often as they occur. A sign of a script that is written without spaces is a word by
/// itself.
pub(crate) fn terms(text: &str) -> Vec<String> {
    let mut terms = Vec::new();
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_alphanumeric() && !is_without_spaces(c) {
            word.extend(c.to_lowercase());
            continue;
        }
        let whole = std::mem::take(&mut word);
        if (1..=MAX_TERM_CHARS).contains(&whole.chars().count()) {
            terms.push(whole);
        }
        if is_without_spaces(c) {
            terms.push(c.to_string());
        }
    }
    terms
}

/// Han, kana, Thai, Lao and Khmer.
fn is_without_spaces(c: char) -> bool {
    let ranges = [
        '\u{0e01}'..='\u{0eff}',
        '\u{1780}'..='\u{17ff}',
        '\u{3041}'..='\u{30ff}',
        '\u{3400}'..='\u{9fff}',
        '\u{f900}'..='\u{faff}',
        '\u{20000}'..='\u{3ffff}',
    ];
    c.is_alphanumeric() && ranges.iter().any(|range| range.contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_letters_and_digits_in_lower_case() {
        assert_eq!(
            terms("The BOILER's 2nd valve (Über)!"),
            ["the", "boiler", "s", "2nd", "valve", "über"]
        );
        assert!(terms(" … -- ").is_empty());
    }

    #[test]
    fn signs_that_are_written_without_spaces_are_words_by_themselves() {
        assert_eq!(terms("GPT是模型。"), ["gpt", "是", "模", "型"]);
    }

    #[test]
    fn what_is_too_long_to_be_a_word_is_left_out() {
        assert_eq!(terms(&format!("a {} b", "x".repeat(65))), ["a", "b"]);
    }
}
