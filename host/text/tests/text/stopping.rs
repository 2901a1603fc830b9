use proptest::prelude::*;
use text::{Checked, StopStrings};

fn shown(text: &str) -> Checked {
    Checked {
        text: text.to_owned(),
        stopped: false,
    }
}

fn ended(text: &str) -> Checked {
    Checked {
        text: text.to_owned(),
        stopped: true,
    }
}

#[test]
fn the_text_ends_before_a_stop_string_that_spans_pieces() {
    let mut stops = StopStrings::new(["\nUser:"]);
    assert_eq!(stops.push("Hello.\nUs"), shown("Hello."));
    assert_eq!(stops.push("er"), shown(""));
    assert_eq!(stops.push(": more"), ended(""));
    assert_eq!(stops.push("and more"), ended(""));
    assert_eq!(stops.finish(), "");
}

#[test]
fn what_turns_out_not_to_be_a_stop_string_is_shown() {
    let mut stops = StopStrings::new(["aab"]);
    assert_eq!(stops.push("aaa"), shown("a"));
    assert_eq!(stops.push("c"), shown("aac"));
    assert_eq!(stops.push("xa"), shown("x"));
    assert_eq!(stops.finish(), "a");
}

#[test]
fn nothing_is_held_back_that_no_stop_string_begins_with() {
    let mut stops = StopStrings::new(["è", "###"]);
    assert_eq!(stops.push("é#"), shown("é"));
    assert_eq!(stops.push("#é"), shown("##é"));
}

#[test]
fn the_first_to_be_complete_wins_and_the_longer_of_two() {
    assert_eq!(StopStrings::new(["bcde", "cd"]).push("abcde"), ended("ab"));
    assert_eq!(StopStrings::new(["cd", "bcd"]).push("abcd"), ended("a"));
}

#[test]
fn without_stop_strings_all_text_passes() {
    assert_eq!(StopStrings::new([""]).push("any"), shown("any"));
    assert_eq!(StopStrings::new([] as [&str; 0]).push("any"), shown("any"));
}

/// The text before the first complete stop string, found by looking at every beginning of the whole text.
fn by_search<'a>(text: &'a str, stops: &[String]) -> (&'a str, bool) {
    let ends = text
        .char_indices()
        .map(|(index, character)| index + character.len_utf8());
    for read in ends.map(|end| &text[..end]) {
        let rests = stops
            .iter()
            .filter_map(|stop| read.strip_suffix(stop.as_str()));
        if let Some(before) = rests.min_by_key(|before| before.len()) {
            return (before, true);
        }
    }
    (text, false)
}

proptest! {
    #[test]
    fn any_cutting_gives_what_a_search_of_the_whole_gives(
        pieces in prop::collection::vec("[abé]{0,6}", 0..12),
        stops in prop::collection::vec("[abé]{1,5}", 0..4),
    ) {
        let mut checker = StopStrings::new(&stops);
        let (mut text, mut stopped) = (String::new(), false);
        for piece in &pieces {
            let checked = checker.push(piece);
            text += &checked.text;
            stopped |= checked.stopped;
            prop_assert_eq!(checked.stopped, stopped);
        }
        text += &checker.finish();
        let whole = pieces.concat();
        prop_assert_eq!((text.as_str(), stopped), by_search(&whole, &stops));
    }

    #[test]
    fn only_a_possible_beginning_is_held_back(text in "[abé]{0,20}", stops in prop::collection::vec("[abé]{1,5}", 1..4)) {
        let mut checker = StopStrings::new(&stops);
        let checked = checker.push(&text);
        let held = checker.finish();
        prop_assert!(held.is_empty() || stops.iter().any(|stop| stop.starts_with(&held) && *stop != held));
        prop_assert!(checked.stopped || checked.text + &held == text);
    }
}
