use std::fs;

use text::{Error, GgufVocab, Specials, Tokenizer};

use crate::{gguf_vocab, ids, json, tokenizer};

#[test]
fn each_way_of_cutting_gives_the_reference_ids() {
    let expected = json("expected.json");
    for (pre, cases) in expected["encodings"].as_object().unwrap() {
        let tokenizer = Tokenizer::from_gguf(gguf_vocab(pre)).unwrap();
        for case in cases.as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            assert_eq!(
                tokenizer.encode(text).unwrap(),
                ids(&case["ids"]),
                "{pre} of {text:?}"
            );
        }
    }
}

#[test]
fn a_tokenizer_file_gives_the_reference_ids() {
    let expected = json("expected.json");
    let tokenizer = tokenizer();
    for case in expected["encodings"]["qwen2"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        assert_eq!(
            tokenizer.encode(text).unwrap(),
            ids(&case["ids"]),
            "{text:?}"
        );
    }
}

#[test]
fn decoding_gives_the_reference_text() {
    let expected = json("expected.json");
    for tokenizer in [
        tokenizer(),
        Tokenizer::from_gguf(gguf_vocab("qwen2")).unwrap(),
    ] {
        for case in expected["decodings"].as_array().unwrap() {
            let ids = ids(&case["ids"]);
            assert_eq!(
                tokenizer.decode(&ids, Specials::Keep),
                case["keep"],
                "{ids:?}"
            );
            assert_eq!(
                tokenizer.decode(&ids, Specials::Drop),
                case["drop"],
                "{ids:?}"
            );
        }
    }
}

#[test]
fn marks_are_known_by_name_and_by_kind() {
    for tokenizer in [
        tokenizer(),
        Tokenizer::from_gguf(gguf_vocab("qwen2")).unwrap(),
    ] {
        let end = tokenizer.token_to_id("<|im_end|>").unwrap();
        let think = tokenizer.token_to_id("<think>").unwrap();
        assert_eq!(tokenizer.encode("<|im_end|><think>").unwrap(), [end, think]);
        assert_eq!(tokenizer.bytes(end), Some(&b"<|im_end|>"[..]));
        assert!(tokenizer.is_special(end) && !tokenizer.is_special(think));
        assert_eq!(tokenizer.token_to_id("<|nothing|>"), None);
    }
}

#[test]
fn padding_rows_and_ids_beyond_are_nothing() {
    let tokenizer = Tokenizer::from_gguf(gguf_vocab("qwen2")).unwrap();
    let len = u32::try_from(tokenizer.vocab_len()).unwrap();
    let rows = u32::try_from(gguf_vocab("qwen2").tokens.len()).unwrap();
    for id in (len..rows + 1).chain([u32::MAX]) {
        assert_eq!(tokenizer.bytes(id), None, "{id}");
        assert!(!tokenizer.is_special(id), "{id}");
    }
    assert!(len < rows);
    assert_eq!(tokenizer.token_to_id("[PAD0]"), None);
}

#[test]
fn only_a_plain_prompt_gets_the_begin_token() {
    let plain = Tokenizer::from_gguf(gguf_vocab("qwen2")).unwrap();
    let bos = plain.token_to_id("<|endoftext|>");
    let with_bos = Tokenizer::from_gguf(GgufVocab {
        bos,
        ..gguf_vocab("qwen2")
    })
    .unwrap();
    let tokens = plain.encode("a request").unwrap();
    assert_eq!(plain.encode_prompt("a request").unwrap(), tokens);
    assert_eq!(with_bos.encode("a request").unwrap(), tokens);
    assert_eq!(
        with_bos.encode_prompt("a request").unwrap(),
        [&[bos.unwrap()], &tokens[..]].concat()
    );
}

#[test]
fn a_text_longer_than_any_context_is_refused() {
    let blanks = " ".repeat(12_000_000);
    assert!(matches!(
        tokenizer().encode(&blanks),
        Err(Error::TooLong {
            len: 12_000_000,
            ..
        })
    ));
}

#[test]
fn an_unknown_way_of_cutting_is_named() {
    let error = Tokenizer::from_gguf(gguf_vocab("tekken"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("\"tekken\""), "{error}");
}

#[test]
fn a_damaged_vocabulary_is_refused() {
    let damage: [fn(&mut GgufVocab); 5] = [
        |vocab| vocab.token_types.truncate(9),
        |vocab| vocab.bos = Some(vocab.tokens.len() as u32),
        |vocab| vocab.merges.push("a".to_owned()),
        |vocab| vocab.merges.push("unmergeable unmergeable".to_owned()),
        |vocab| vocab.merges.push("a never-seen".to_owned()),
    ];
    for (number, damage) in damage.iter().enumerate() {
        let mut vocab = gguf_vocab("gpt-2");
        damage(&mut vocab);
        assert!(
            matches!(Tokenizer::from_gguf(vocab), Err(Error::Vocabulary(_))),
            "damage {number}"
        );
    }
}

#[test]
fn a_file_that_is_no_byte_level_tokenizer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    assert!(
        matches!(Tokenizer::from_file(&path), Err(Error::File { .. })),
        "missing"
    );

    let whole = json("tokenizer.json").to_string();
    for cut in (0..whole.len()).step_by(997) {
        fs::write(&path, &whole.as_bytes()[..cut]).unwrap();
        assert!(
            matches!(Tokenizer::from_file(&path), Err(Error::File { .. })),
            "cut after {cut} bytes"
        );
    }

    let mut long = json("tokenizer.json");
    let word = "unmergeable".repeat(9);
    long["model"]["vocab"][&word] = 706.into();
    long["model"]["merges"] = serde_json::json!([[word, word]]);
    fs::write(&path, long.to_string()).unwrap();
    assert!(
        matches!(Tokenizer::from_file(&path), Err(Error::File { .. })),
        "a merge longer than any token"
    );

    let mut other = json("tokenizer.json");
    other["decoder"] = serde_json::json!({"type": "Fuse"});
    fs::write(&path, other.to_string()).unwrap();
    assert!(
        matches!(Tokenizer::from_file(&path), Err(Error::Unsupported(_))),
        "another decoder"
    );
}

/// Words, numbers, marks and other alphabets, between which a long text is not cut, and such between which it is.
const SNIPPETS: [&str; 16] = [
    "word",
    "I'll",
    "don't",
    "x",
    "42",
    "3.14",
    "naïve",
    "e\u{301}a",
    "日本語",
    "ｆｕｌｌ",
    "(see",
    "below)",
    "a\nb",
    "tab\there",
    "<|im_end|>",
    "--",
];

#[test]
fn a_long_text_has_the_tokens_of_its_words() {
    let mut tokenizers = vec![("file", tokenizer())];
    tokenizers.extend(
        ["gpt-2", "smollm", "qwen2", "llama-bpe"]
            .map(|pre| (pre, Tokenizer::from_gguf(gguf_vocab(pre)).unwrap())),
    );
    // A text of 40,000 bytes is encoded in parts; these pieces of it, each from a blank after a letter to the next one, are not.
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        SNIPPETS[(state >> 24) as usize % SNIPPETS.len()]
    };
    let text = std::iter::repeat_with(&mut next)
        .take(8000)
        .collect::<Vec<_>>()
        .join(" ");
    let mut pieces = vec![String::new()];
    for (at, character) in text.char_indices() {
        let is_letter = |character: Option<char>| {
            character.is_some_and(|character| character.is_ascii_alphabetic())
        };
        let is_between = is_letter(text[..at].chars().next_back())
            && is_letter(text[at + character.len_utf8()..].chars().next());
        if character == ' ' && is_between {
            pieces.push(String::new());
        }
        pieces.last_mut().unwrap().push(character);
    }
    assert!(pieces.len() > 1000);
    for (name, tokenizer) in tokenizers {
        let whole = tokenizer.encode(&text).unwrap();
        let apart: Vec<u32> = pieces
            .iter()
            .flat_map(|piece| tokenizer.encode(piece).unwrap())
            .collect();
        assert_eq!(whole, apart, "{name}");
        // A text too short to be cut in parts, cut by hand.
        for pair in pieces.windows(2) {
            let together = tokenizer.encode(&pair.concat()).unwrap();
            let apart = [
                tokenizer.encode(&pair[0]).unwrap(),
                tokenizer.encode(&pair[1]).unwrap(),
            ]
            .concat();
            assert_eq!(together, apart, "{name}: {pair:?}");
        }
    }
}
