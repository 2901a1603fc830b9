use proptest::prelude::*;
use text::{Detokenizer, Specials, Tokenizer};

use crate::tokenizer;

fn in_pieces(tokenizer: &Tokenizer, tokens: &[u32], specials: Specials) -> Vec<String> {
    let mut detokenizer = Detokenizer::new(tokenizer.clone(), specials);
    let mut pieces: Vec<_> = tokens
        .iter()
        .map(|&token| detokenizer.push(token))
        .collect();
    pieces.push(detokenizer.finish());
    pieces
}

#[test]
fn a_character_is_handed_out_when_its_last_byte_has_come() {
    let tokenizer = tokenizer();
    let bytes: Vec<u32> = "é🙂"
        .bytes()
        .map(|byte| single_byte(&tokenizer, byte))
        .collect();
    assert_eq!(
        in_pieces(&tokenizer, &bytes, Specials::Drop),
        ["", "é", "", "", "", "🙂", ""]
    );
}

#[test]
fn an_unfinished_character_becomes_a_replacement_at_the_end() {
    let tokenizer = tokenizer();
    let bytes: Vec<u32> = [b'a', 0xf0, 0x9f]
        .map(|byte| single_byte(&tokenizer, byte))
        .to_vec();
    assert_eq!(
        in_pieces(&tokenizer, &bytes, Specials::Drop),
        ["a", "", "", "\u{fffd}"]
    );
}

#[test]
fn bytes_that_are_no_utf8_become_a_replacement_at_once() {
    let tokenizer = tokenizer();
    let bytes: Vec<u32> = [0xff, 0xe2, 0x82, b'x']
        .map(|byte| single_byte(&tokenizer, byte))
        .to_vec();
    assert_eq!(
        in_pieces(&tokenizer, &bytes, Specials::Drop),
        ["\u{fffd}", "", "", "\u{fffd}x", ""]
    );
}

#[test]
fn special_tokens_are_written_or_left_out() {
    let tokenizer = tokenizer();
    let tokens = tokenizer.encode("<think>a<|im_end|>").unwrap();
    assert_eq!(
        in_pieces(&tokenizer, &tokens, Specials::Keep).concat(),
        "<think>a<|im_end|>"
    );
    assert_eq!(
        in_pieces(&tokenizer, &tokens, Specials::Drop).concat(),
        "<think>a"
    );
}

fn single_byte(tokenizer: &Tokenizer, byte: u8) -> u32 {
    (0..)
        .find(|&token| tokenizer.bytes(token) == Some(&[byte]))
        .expect("a token for each byte")
}

proptest! {
    #[test]
    fn pieces_together_are_the_whole(
        // The first 256 tokens are single bytes, so that characters fall apart; some ids are beyond the vocabulary.
        tokens in prop::collection::vec(prop_oneof![4 => 0..256u32, 2 => 0..720u32, 1 => any::<u32>()], 0..60),
        specials in prop_oneof![Just(Specials::Keep), Just(Specials::Drop)],
    ) {
        let tokenizer = tokenizer();
        let pieces = in_pieces(&tokenizer, &tokens, specials);
        prop_assert_eq!(pieces.concat(), tokenizer.decode(&tokens, specials));
    }

    #[test]
    fn any_text_survives_encoding_and_piecewise_decoding(text in "[\\PC\\n\\t é世🙂]{0,60}") {
        let tokenizer = Tokenizer::from_gguf(crate::gguf_vocab("smollm")).unwrap();
        let tokens = tokenizer.encode(&text).unwrap();
        prop_assert_eq!(in_pieces(&tokenizer, &tokens, Specials::Keep).concat(), text);
    }
}
