//! Texts that nobody would write. Whatever they are, the plugin returns; and what it leaves, it leaves as it was.

use crate::support::*;

/// A generator of the xorshift family: the same texts on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// A character of any length and script, rarely none that a scanner cares for.
    fn any_char(&mut self) -> char {
        let bound = [0x80, 0x800, 0x1_0000, 0x11_0000][self.below(4)];
        char::from_u32(self.below(bound) as u32).unwrap_or('\u{fffd}')
    }
}

/// Pieces of which values and things like values are made.
const PIECES: [&str; 44] = [
    "@",
    ".",
    "+",
    "-",
    "/",
    ":",
    "::",
    "(",
    ")",
    " ",
    "\\n",
    "\"",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\u{a0}",
    "\0",
    "é",
    "中",
    "0",
    "1",
    "49",
    "030",
    "555",
    "1234",
    "4111",
    "1111",
    "5678",
    "12345678",
    "2001",
    "db8",
    "ffff",
    "192",
    "168",
    "DE",
    "DE89",
    "3704",
    "john",
    "com",
    "x",
    "_",
    "john@example.com",
];

/// Pieces without a digit and without an `@`: nothing can be found in these.
const HARMLESS: [&str; 16] = [
    ".", "+", "-", "/", ":", "(", ")", " ", "\\n", "\"", "[", "{", "john", "中", "é", "\u{a0}",
];

fn text(random: &mut Random, pieces: &[&str]) -> String {
    let len = random.below(24);
    let mut text = String::new();
    for _ in 0..len {
        match random.below(8) {
            0 => text.extend(Some(random.any_char()).filter(|c| !c.is_ascii())),
            _ => text.push_str(pieces[random.below(pieces.len())]),
        }
    }
    text
}

const ALL: &str = r#"{"kinds":["email","phone","card","iban","ip","digits"],"min_digits":4}"#;

#[test]
fn any_text_is_read_without_a_panic_and_what_was_redacted_holds_nothing_more() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut num_changed = 0;
    for _ in 0..30_000 {
        let text = text(&mut random, &PIECES);
        for config in ["{}", ALL] {
            let once = redacted_with(config, &text);
            assert_eq!(redacted_with(config, &once), once, "{text:?}");
            num_changed += usize::from(once != text);
        }
    }
    assert!(
        num_changed > 1000,
        "the texts hold too little: {num_changed}"
    );
}

#[test]
fn a_text_without_findings_is_unchanged_byte_for_byte() {
    let mut random = Random(0x0123_4567_89ab_cdef);
    for _ in 0..20_000 {
        let text = text(&mut random, &HARMLESS);
        assert_eq!(redacted_with(ALL, &text), text);
    }
}

#[test]
fn what_stands_around_a_value_is_unchanged_byte_for_byte() {
    let mut random = Random(0xfeed_beef_dead_cafe);
    for _ in 0..20_000 {
        let (before, after) = (text(&mut random, &HARMLESS), text(&mut random, &HARMLESS));
        let around = |value: &str| format!("{before} <{value}> {after}");
        // A text that happens to be JSON is looked at otherwise.
        assert_eq!(redacted(&around("john@example.com")), around("[EMAIL_1]"));
        assert_eq!(redacted(&around("4111111111111111")), around("[CARD_1]"));
    }
}

#[test]
fn long_monotonous_texts_are_read_in_one_go() {
    for piece in [
        "1", "1 ", "+1 ", "(0) ", "a@", "a.", "a@a.", "1:", "f:", "1.1.", "DE89 ", "\\n", "[",
        "中1", "4111 ",
    ] {
        let text = piece.repeat(200_000 / piece.len());
        redacted_with(ALL, &text);
    }
}

#[test]
fn deep_json_is_no_danger() {
    let deep = format!(
        "{}\"john@example.com\"{}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(redacted(&deep).contains("[EMAIL_1]"));
}
