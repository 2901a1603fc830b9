//! Texts in a form, token by token.

use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use text::{Allowed, Form, Grammar, Grammars, Specials, Tokenizer};

use crate::{gguf_vocab, tokenizer};

/// More logits than tokens, as models have.
const PADDING_LEN: usize = 40;

fn end_tokens(tokenizer: &Tokenizer) -> Vec<u32> {
    ["<|im_end|>", "<|endoftext|>"]
        .map(|name| tokenizer.token_to_id(name).unwrap())
        .to_vec()
}

fn logits_len(tokenizer: &Tokenizer) -> usize {
    tokenizer.vocab_len() + PADDING_LEN
}

pub(crate) fn grammars() -> Grammars {
    let tokenizer = tokenizer();
    Grammars::new(&tokenizer, &end_tokens(&tokenizer), logits_len(&tokenizer)).unwrap()
}

fn schema(schema: Value) -> Form {
    Form::JsonSchema(schema.to_string())
}

/// The tokens of a mask that are text, and whether the text may end, once it is clear that nothing else is allowed.
fn read(mask: &[u32], tokenizer: &Tokenizer) -> (Vec<u32>, bool) {
    assert_eq!(mask.len(), logits_len(tokenizer).div_ceil(32));
    let allowed =
        (0..mask.len() as u32 * 32).filter(|id| mask[*id as usize / 32] >> (id % 32) & 1 == 1);
    let ends = end_tokens(tokenizer);
    let (ending, text): (Vec<u32>, Vec<u32>) = allowed.partition(|id| ends.contains(id));
    assert!(
        ending.is_empty() || ending.len() == ends.len(),
        "all or none: {ending:?}"
    );
    for id in &text {
        assert!(!tokenizer.is_special(*id), "a mark is allowed: {id}");
        let bytes = tokenizer.bytes(*id).unwrap_or_default();
        assert!(!bytes.is_empty(), "an id that is no text is allowed: {id}");
    }
    assert!(!text.is_empty(), "no token, but neither complete");
    (text, !ending.is_empty())
}

#[derive(Debug, PartialEq)]
enum Fit {
    /// The first token that is not allowed.
    NotAt(usize),
    Unfinished,
    MayEnd,
    Complete,
}

/// How well the tokens of a text fit.
fn fit(mut grammar: Grammar, text: &str, tokenizer: &Tokenizer) -> Fit {
    for (index, token) in tokenizer.encode(text).unwrap().into_iter().enumerate() {
        match grammar.allowed().unwrap() {
            Allowed::Tokens(mask) if read(&mask, tokenizer).0.contains(&token) => {}
            _ => return Fit::NotAt(index),
        }
        grammar.advance(token).unwrap();
    }
    match grammar.allowed().unwrap() {
        Allowed::Complete => Fit::Complete,
        Allowed::Tokens(mask) if read(&mask, tokenizer).1 => Fit::MayEnd,
        Allowed::Tokens(_) => Fit::Unfinished,
    }
}

/// Checks that all of `inside` can be written whole, and none of `outside`.
fn check(form: &Form, inside: &[&str], outside: &[&str]) {
    let tokenizer = tokenizer();
    let grammar = grammars().compile(form).unwrap();
    for text in inside {
        let fit = fit(grammar.clone(), text, &tokenizer);
        assert!(
            matches!(fit, Fit::MayEnd | Fit::Complete),
            "{text:?}: {fit:?}"
        );
    }
    for text in outside {
        let fit = fit(grammar.clone(), text, &tokenizer);
        assert!(
            matches!(fit, Fit::NotAt(_) | Fit::Unfinished),
            "{text:?}: {fit:?}"
        );
    }
}

fn person() -> Form {
    schema(json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Person",
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 8},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "tags": {"type": "array", "items": {"enum": ["a", "bc", 7, null]}, "maxItems": 3},
            "boss": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        },
        "required": ["name", "age"],
        "additionalProperties": false,
    }))
}

#[test]
fn a_json_object_is_any_object_and_nothing_else() {
    check(
        &Form::JsonObject,
        &[
            "{}",
            r#"{"a": 1, "b": [true, null, {"c": -1.5e3}], "größer": "你好 🙂 \" \\ \n"}"#,
            "{\n  \"a\": {\n    \"b\": []\n  }\n}",
        ],
        &[
            "[]",
            "1",
            r#"{"a" 1}"#,
            r#"{"a": 1,}"#,
            r#"{"a": 1"#,
            "{} ",
            "{}}",
            "null",
        ],
    );
}

#[test]
fn a_schema_admits_what_fits_it() {
    check(
        &person(),
        &[
            r#"{"name":"Ada","age":36}"#,
            r#"{"name": "Ада", "age": 150, "tags": ["a", 7, null], "boss": {"name": "x", "age": 0, "boss": null}}"#,
        ],
        &[
            r#"{"name":"Ada"}"#,
            r#"{"age":36,"name":"Ada"}"#,
            r#"{"name":"","age":36}"#,
            r#"{"name":"Ada Lovelace","age":36}"#,
            r#"{"name":"Ada","age":151}"#,
            r#"{"name":"Ada","age":3.5}"#,
            r#"{"name":"Ada","age":36,"tags":["b"]}"#,
            r#"{"name":"Ada","age":36,"tags":["a","a","a","a"]}"#,
            r#"{"name":"Ada","age":36,"more":1}"#,
        ],
    );
}

#[test]
fn a_schema_may_be_anything_that_json_has() {
    check(
        &schema(json!(true)),
        &["1", r#""a""#, "[]", "{}", "null"],
        &["", "nul"],
    );
    check(
        &schema(json!({})),
        &["1", r#""a""#, "[]", "{}", "null"],
        &["", "nul"],
    );
    check(
        &schema(json!({"const": {"a": [1]}})),
        &[r#"{"a": [1]}"#],
        &[r#"{"a": []}"#],
    );
    check(
        &schema(json!({"type": "number", "multipleOf": 0.25})),
        &["1.25", "-3"],
        &["1.3"],
    );
    check(
        &schema(json!({"$ref": "#/$defs/a%20b", "$defs": {"a b": {"type": "boolean"}}})),
        &["true"],
        &["1"],
    );
    check(
        &schema(json!({"type": "string", "pattern": "^[a-c]+$", "maxLength": 3})),
        &[r#""abc""#],
        &[r#""abcd""#, r#""abca""#],
    );
}

#[test]
fn a_regex_matches_the_whole_text() {
    check(
        &Form::Regex(r"[a-z]+(-[0-9]{2,3})?".to_owned()),
        &["the", "the-12", "the-123"],
        &["", "-12", "the-", "the-1", "the-1234", "The", "the 12"],
    );
    check(&Form::Regex("/a\\/b\n#".to_owned()), &["/a/b\n#"], &["a/b"]);
    check(&Form::Regex("^(ä|ö)$".to_owned()), &["ä"], &["u", "ää"]);
}

#[test]
fn a_lark_grammar_admits_what_it_derives() {
    let lark = r#"
        start: sum
        sum: product ("+" product)*
        product: NUMBER | "(" sum ")"
        NUMBER: /[0-9]{1,3}/
        %ignore " "
    "#;
    check(
        &Form::Lark(lark.to_owned()),
        &["1", "1 + 2", "(1+(22 + 333))+4"],
        &["", "1 +", "(1", "1)", "1234", "a"],
    );
    check(
        &Form::Lark(
            "start: \"<call>\" body \"</call>\"\nbody: %json {\"type\": \"integer\"}".to_owned(),
        ),
        &["<call>12</call>"],
        &["<call></call>", "<call>a</call>", "<call>12"],
    );
}

#[test]
fn json_has_single_blanks_and_indented_lines_but_no_more() {
    let form = schema(json!({"type": "array", "items": {"type": "null"}}));
    let indent = |len| format!("[\n{}null\n]", " ".repeat(len));
    check(
        &form,
        &[
            "[null,null]",
            "[ null, null ]",
            "[\n\tnull,\n\tnull\n]",
            &indent(64),
        ],
        &[
            " [null]",
            "[null] ",
            "\n[null]",
            "[  null]",
            "[\n\nnull]",
            &indent(65),
        ],
    );
}

#[test]
fn json_is_complete_with_its_last_character() {
    let tokenizer = tokenizer();
    let ends_with = |form: &Form, text| fit(grammars().compile(form).unwrap(), text, &tokenizer);
    assert_eq!(ends_with(&Form::JsonObject, r#"{"a": {}}"#), Fit::Complete);
    assert_eq!(
        ends_with(&schema(json!({"type": "string"})), r#""a""#),
        Fit::Complete
    );
    assert_eq!(
        ends_with(&schema(json!({"enum": [true, null]})), "true"),
        Fit::Complete
    );
    assert_eq!(
        ends_with(&schema(json!({"type": "integer"})), "12"),
        Fit::MayEnd
    );
}

#[test]
fn end_tokens_are_allowed_exactly_where_a_text_may_end() {
    let tokenizer = tokenizer();
    let grammar = grammars()
        .compile(&Form::Regex("x(yz?)?".to_owned()))
        .unwrap();
    let fits = ["", "x", "xy", "xyz"].map(|text| fit(grammar.clone(), text, &tokenizer));
    assert_eq!(
        fits,
        [Fit::Unfinished, Fit::MayEnd, Fit::MayEnd, Fit::Complete]
    );
    for form in [Form::Regex(String::new()), Form::Lark("start: ".to_owned())] {
        let mut grammar = grammars().compile(&form).unwrap();
        assert_eq!(grammar.allowed(), Ok(Allowed::Complete));
    }
}

#[test]
fn an_end_token_completes_a_text_that_may_end() {
    let tokenizer = tokenizer();
    let [first, second] = end_tokens(&tokenizer)[..] else {
        panic!("two end tokens");
    };
    let grammar = grammars().compile(&Form::Regex("a*".to_owned())).unwrap();
    for end in [first, second] {
        let mut grammar = grammar.clone();
        grammar.advance(end).unwrap();
        assert_eq!(grammar.allowed(), Ok(Allowed::Complete));
    }
    let mut grammar = grammars().compile(&Form::Regex("a+".to_owned())).unwrap();
    assert!(grammar.advance(first).is_err());
}

#[test]
fn what_was_not_allowed_fails_from_then_on() {
    let tokenizer = tokenizer();
    let other = tokenizer.encode("q").unwrap()[0];
    let start = grammars().compile(&Form::Regex("a+".to_owned())).unwrap();
    let mark = tokenizer.token_to_id("<|im_start|>").unwrap();
    for token in [other, mark, tokenizer.vocab_len() as u32, u32::MAX] {
        let mut grammar = start.clone();
        assert!(grammar.advance(token).is_err(), "{token}");
        assert!(grammar.allowed().is_err(), "{token}");
    }
    let mut complete = grammars().compile(&Form::Regex("".to_owned())).unwrap();
    assert!(complete.advance(other).is_err());
}

#[test]
fn a_dead_end_is_an_error_and_no_empty_mask() {
    let tokenizer = tokenizer();
    let lark = "start: \"a\" | \"b\" x\nx: x \"c\"".to_owned();
    let mut grammar = grammars().compile(&Form::Lark(lark)).unwrap();
    grammar.advance(tokenizer.encode("b").unwrap()[0]).unwrap();
    let error = grammar.allowed().unwrap_err();
    assert_eq!(error, "no token continues the text in its form");
    assert_eq!(grammar.allowed().unwrap_err(), error);
}

#[test]
fn a_clone_goes_on_for_itself() {
    let tokenizer = tokenizer();
    let mut one = grammars()
        .compile(&Form::Regex("x(y|z)+".to_owned()))
        .unwrap();
    let [x, y, z] = ["x", "y", "z"].map(|text| tokenizer.encode(text).unwrap()[0]);
    one.advance(x).unwrap();
    let here = one.allowed();
    let mut two = one.clone();
    one.advance(y).unwrap();
    let there = one.allowed();
    assert_ne!(here, there, "it may end there");
    assert_eq!(two.allowed(), here);
    two.advance(z).unwrap();
    assert!(one.advance(x).is_err());
    assert_eq!(two.allowed(), there);
}

#[test]
fn texts_move_between_threads() {
    fn movable<T: Send>(_: &T) {}
    fn shared<T: Send + Sync>(_: &T) {}
    let grammars = grammars();
    shared(&grammars);
    let grammar = grammars.compile(&Form::JsonObject).unwrap();
    movable(&grammar);
    drop(grammars);
    let fit = std::thread::spawn(|| fit(grammar, r#"{"a": 1}"#, &tokenizer()));
    assert_eq!(fit.join().unwrap(), Fit::Complete);
}

#[test]
fn tokens_without_a_logit_are_never_allowed() {
    let tokenizer = tokenizer();
    let ends = end_tokens(&tokenizer);
    let cut = *ends.iter().max().unwrap() as usize + 1;
    assert!(cut < tokenizer.vocab_len());
    let grammars = Grammars::new(&tokenizer, &ends, cut).unwrap();
    let mut grammar = grammars
        .compile(&Form::Regex("(?s:.*)".to_owned()))
        .unwrap();
    let Allowed::Tokens(mask) = grammar.allowed().unwrap() else {
        panic!("any text begins with some token");
    };
    assert_eq!(mask.len(), cut.div_ceil(32));
    let beyond = (cut..mask.len() * 32).find(|id| mask[id / 32] >> (id % 32) & 1 == 1);
    assert_eq!(beyond, None);
}

#[test]
fn a_vocabulary_from_gguf_does_the_same() {
    let tokenizer = Tokenizer::from_gguf(gguf_vocab("smollm")).unwrap();
    let ends = end_tokens(&tokenizer);
    let grammars = Grammars::new(&tokenizer, &ends, logits_len(&tokenizer)).unwrap();
    let grammar = grammars.compile(&person()).unwrap();
    let text = r#"{"name": "Ada", "age": 36}"#;
    assert_eq!(fit(grammar, text, &tokenizer), Fit::Complete);
}

#[test]
fn end_tokens_must_be_among_the_logits() {
    let tokenizer = tokenizer();
    let len = tokenizer.vocab_len();
    for ends in [&[][..], &[1, len as u32]] {
        let error = Grammars::new(&tokenizer, ends, len).err().unwrap();
        assert!(error.to_string().contains("end token"), "{error}");
    }
}

/// Writes a text by chance: the tokens, if it is done within `limit` of them.
fn wander(mut grammar: Grammar, tokenizer: &Tokenizer, choices: &[u32]) -> Option<Vec<u32>> {
    let mut tokens = Vec::new();
    for choice in choices {
        let (text, may_end) = match grammar.allowed().unwrap() {
            Allowed::Complete => return Some(tokens),
            Allowed::Tokens(mask) => read(&mask, tokenizer),
        };
        if may_end && choice % 3 == 0 {
            return Some(tokens);
        }
        let token = text[*choice as usize / 3 % text.len()];
        grammar.advance(token).unwrap();
        tokens.push(token);
    }
    None
}

type Has = fn(&str) -> bool;

fn is_person(value: &Value) -> bool {
    let Some(members) = value.as_object() else {
        return false;
    };
    let tag =
        |tag: &Value| ["a", "bc"].iter().any(|name| tag == name) || *tag == 7 || tag.is_null();
    let name = members["name"].as_str().unwrap_or_default();
    (1..=8).contains(&name.chars().count())
        && members["age"].as_u64().is_some_and(|age| age <= 150)
        && members.get("tags").is_none_or(|tags| {
            let tags = tags.as_array().unwrap();
            tags.len() <= 3 && tags.iter().all(tag)
        })
        && members
            .get("boss")
            .is_none_or(|boss| boss.is_null() || is_person(boss))
        && members
            .keys()
            .all(|key| ["name", "age", "tags", "boss"].contains(&key.as_str()))
}

/// Not parsed further, since a number may be larger than Rust's.
fn is_object(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok_and(|value| value.get().starts_with('{'))
}

fn is_word(text: &str) -> bool {
    serde_json::from_str::<String>(text).is_ok_and(|word| word.chars().count() <= 10)
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    parts.iter().all(digits) && parts.iter().map(|part| part.len()).eq([4, 2, 2])
}

fn is_balanced(text: &str) -> bool {
    let mut depth = 0;
    for character in text.chars() {
        match character {
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            '.' => {}
            _ => return false,
        }
    }
    depth == 0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_written_has_the_form(choices in prop::collection::vec(any::<u32>(), 120)) {
        let tokenizer = tokenizer();
        let grammars = grammars();
        let lark = "start: (\".\" | pair)~0..4\npair: \"(\" start \")\"".to_owned();
        let word = schema(json!({"type": "string", "maxLength": 10}));
        // The last two are done within so many tokens, whichever they are.
        let forms: [(Form, Has, bool); 5] = [
            (Form::JsonObject, is_object, false),
            (person(), |text| is_person(&serde_json::from_str(text).unwrap()), false),
            (Form::Lark(lark), is_balanced, false),
            (word, is_word, true),
            (Form::Regex("[0-9]{4}(-[0-9]{2}){2}".to_owned()), is_date, true),
        ];
        for (form, has, is_short) in forms {
            let grammar = grammars.compile(&form).unwrap();
            match wander(grammar, &tokenizer, &choices) {
                Some(tokens) => {
                    let text = tokenizer.decode(&tokens, Specials::Keep);
                    prop_assert!(has(&text), "{form:?}: {text:?}");
                }
                None => prop_assert!(!is_short, "{form:?}"),
            }
        }
    }

    #[test]
    fn every_match_of_a_regex_can_be_written(text in "[a-c]{1,3}( é|[0-9]+x){0,3}") {
        let form = Form::Regex("[a-c]{1,3}( é|[0-9]+x){0,3}".to_owned());
        let fit = fit(grammars().compile(&form).unwrap(), &text, &tokenizer());
        prop_assert!(matches!(fit, Fit::MayEnd | Fit::Complete), "{:?}", fit);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_token_is_allowed_exactly_if_it_can_be_appended(choices in prop::collection::vec(any::<u32>(), 6)) {
        let tokenizer = tokenizer();
        let grammars = grammars();
        let forms = [
            Form::JsonObject,
            person(),
            Form::Regex("([a-z ]{1,3}|é)*x?".to_owned()),
            Form::Lark("start: (A | B \"e\")*\nA: /[a-r]+/\nB: /th|qu/".to_owned()),
        ];
        for form in forms {
            let mut grammar = grammars.compile(&form).unwrap();
            for choice in &choices {
                let Allowed::Tokens(mask) = grammar.allowed().unwrap() else {
                    break;
                };
                let (text, may_end) = read(&mask, &tokenizer);
                for id in (choice % 5..logits_len(&tokenizer) as u32).step_by(5) {
                    let is_allowed = text.contains(&id) || may_end && end_tokens(&tokenizer).contains(&id);
                    prop_assert_eq!(grammar.clone().advance(id).is_ok(), is_allowed, "{:?}: {}", &form, id);
                }
                grammar.advance(text[*choice as usize % text.len()]).unwrap();
            }
        }
    }
}
