//! Forms that are refused, and what is said of them.

use serde_json::{Value, json};
use text::{Form, GrammarError};

use crate::forms::grammars;

/// Checks that each form is refused with a message that a client can use and that has this part.
fn check(forms: impl IntoIterator<Item = (Form, &'static str)>) {
    let grammars = grammars();
    for (form, part) in forms {
        let shown: String = format!("{form:?}").chars().take(200).collect();
        let Err(error) = grammars.compile(&form) else {
            panic!("accepted: {shown}");
        };
        assert!(!matches!(error, GrammarError::Thread { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(part), "{shown}\n{message}");
        assert!(message.len() <= 1000, "{} bytes: {message}", message.len());
        for noise in [
            "panic",
            "backtrace",
            "<state>",
            "<non-verbose",
            ".rs:",
            "llguidance::",
            "fuel",
            "limits.",
        ] {
            assert!(!message.contains(noise), "{noise}: {message}");
        }
    }
}

fn schema(schema: Value) -> Form {
    Form::JsonSchema(schema.to_string())
}

fn regex(regex: &str) -> Form {
    Form::Regex(regex.to_owned())
}

fn lark(lark: &str) -> Form {
    Form::Lark(lark.to_owned())
}

fn joined(count: usize, separator: &str, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect::<Vec<_>>().join(separator)
}

fn named(count: usize, part: impl Fn(usize) -> Value) -> Value {
    (0..count)
        .map(|index| (format!("p{index}"), part(index)))
        .collect()
}

#[test]
fn malformed_forms_are_told_where() {
    check([
        (Form::JsonSchema(String::new()), "no JSON"),
        (
            Form::JsonSchema("{\"type\": }".to_owned()),
            "line 1 column 10",
        ),
        (Form::JsonSchema("{} {}".to_owned()), "trailing characters"),
        (schema(json!([1])), "schema must be an object or boolean"),
        (schema(json!({"type": "text"})), "text"),
        (schema(json!({"type": 1})), "type must be a string"),
        (
            schema(json!({"required": "a", "type": "object"})),
            "required",
        ),
        (
            schema(json!({"type": "string", "pattern": "("})),
            "unclosed group",
        ),
        (regex("("), "unclosed group"),
        (regex("a(?=b)"), "look-ahead"),
        (regex("a$b"), "End in regex /a$b/"),
        (regex("a\\"), "escape"),
        (regex("(?x) a # b\n c"), "verbose"),
        (regex(&("(".repeat(3000) + &")".repeat(3000))), "nested"),
        (lark("a: \"b\""), "no start rule"),
        (lark("start: b"), "unknown name: \"b\""),
        (lark("start: \"a\n"), "1(10): lexer error"),
        (lark("start: (\"a\""), "start: (\"a\""),
    ]);
}

#[test]
fn a_refused_regex_is_shown_as_it_was_sent() {
    let error = grammars().compile(&regex("ab(c")).unwrap_err();
    let shown =
        "the regex is refused: regex parse error:\n    ab(c\n      ^\nerror: unclosed group";
    assert_eq!(error.to_string(), shown);
}

#[test]
fn what_is_not_supported_is_named() {
    check([
        (schema(json!({"not": {"type": "string"}})), "\"not\""),
        (
            schema(json!({"type": "array", "uniqueItems": true})),
            "\"uniqueItems\"",
        ),
        (schema(json!({"type": "string", "format": "dune"})), "dune"),
        (
            schema(json!({"oneOf": [{"type": "integer"}, {"minimum": 3}]})),
            "use anyOf",
        ),
        (
            schema(json!({"x-guidance": {"lenient": true}})),
            "x-guidance",
        ),
        (
            schema(json!({"properties": {"a": {"$id": "urn:a"}}})),
            "$id",
        ),
        (schema(json!({"multipleOf": 1e-9})), "multipleOf"),
        (
            schema(json!({"allOf": [{"multipleOf": 99_991}, {"multipleOf": 99_989}]})),
            "multipleOf",
        ),
        (regex("a(?P<stop>b)"), "\"stop\""),
        (lark("start: a \"c\"\na[stop=\"b\"]: /x*/"), "stop="),
        (lark("start: /a(?P<stop>b)/"), "\"stop\""),
        (
            lark("%llguidance {\"allow_invalid_utf8\": true}\nstart: /a/"),
            "allow_invalid_utf8",
        ),
    ]);
}

#[test]
fn a_grammar_cannot_write_tokens() {
    check([
        (lark("start: <|im_start|>"), "tokens (<...>)"),
        (lark("start: \"a\" <[0-9]>"), "tokens (<...>)"),
        (lark("start: <[*]>"), "tokens (<...>)"),
        (lark("start: <[^1]>"), "tokens (<...>)"),
        (lark("start: <|nothing|>"), "unknown special token"),
    ]);
}

#[test]
fn references_do_not_leave_the_schema() {
    let to = |reference: &str| schema(json!({"properties": {"a": {"$ref": reference}}}));
    let references = [
        "https://example.com/a.json",
        "http://127.0.0.1/a.json#/a",
        "file:///etc/hostname",
        "/etc/hostname",
        "other.json",
        "#/$defs/none",
        "#anchor",
        "#%ff",
    ];
    check(references.map(|reference| (to(reference), "only JSON pointers within it")));
    let in_lark = lark("start: %json {\"$ref\": \"file:///etc/hostname\"}");
    check([(in_lark, "only JSON pointers within it")]);
}

#[test]
fn forms_without_any_text_are_refused() {
    check([
        (regex(r"[^\s\S]"), "no text has the form of this regex"),
        (
            lark("start: start"),
            "no text has the form of this Lark grammar",
        ),
        (
            schema(json!({"$ref": "#"})),
            "no text has the form of this JSON schema",
        ),
        (schema(json!(false)), "schema is false"),
        (schema(json!({"enum": []})), "anyOf is empty"),
        (
            schema(json!({"type": "string", "minLength": 3, "maxLength": 2})),
            "minLength (3)",
        ),
        (
            schema(json!({"type": "object", "properties": {"a": false}, "required": ["a"]})),
            "'a'",
        ),
    ]);
}

#[test]
fn long_forms_are_refused_by_their_length() {
    check([
        (
            schema(json!({"description": "x".repeat(1 << 20)})),
            "bytes exceed the limit of 131072",
        ),
        (
            regex(&"x".repeat(1 << 20)),
            "bytes exceed the limit of 16384",
        ),
        (
            lark(&format!("start: \"{}\"", "x".repeat(1 << 20))),
            "bytes exceed the limit of 32768",
        ),
    ]);
}

#[test]
fn deep_forms_are_refused() {
    let brackets = |count| "[".repeat(count) + &"]".repeat(count);
    check([
        (
            Form::JsonSchema(format!("{{\"const\": {}}}", brackets(1000))),
            "recursion limit exceeded",
        ),
        (
            lark(&format!(
                "start: {}\"x\"{}",
                "(".repeat(10_000),
                ")".repeat(10_000)
            )),
            "too deeply nested",
        ),
        (
            lark(&format!(
                "start: {}\"x\"{}",
                "a{".repeat(10_000),
                "}".repeat(10_000)
            )),
            "template",
        ),
        (
            lark(&format!(
                "start: a0\n{}",
                joined(5000, "\n", |i| format!("a{i}:a{}", i + 1))
            )),
            "limit",
        ),
        (
            lark(&format!(
                "start: A0\n{}",
                joined(501, "\n", |i| format!("A{i}: A{}", i + 1))
            )),
            "502 definitions exceed the limit of 500",
        ),
    ]);
}

#[test]
fn many_parts_are_refused() {
    let patterns = |count| {
        named(
            count,
            |i| json!({"type": "string", "pattern": format!("^{i}")}),
        )
    };
    check([
        (
            schema(json!({"type": "object", "properties": named(1001, |_| json!({}))})),
            "1001 members of one object",
        ),
        (
            schema(json!({"type": "object", "properties": named(700, |_| json!({}))})),
            "about 500 optional properties",
        ),
        (
            schema(json!({"enum": (0..5001).collect::<Vec<_>>()})),
            "5001 enum values exceed the limit of 5000",
        ),
        (
            schema(json!({"type": "object", "properties": patterns(251)})),
            "251 patterns",
        ),
        (
            schema(json!({"type": "string", "pattern": "x".repeat(20_000)})),
            "20000 bytes of patterns",
        ),
        (
            schema(json!({"type": "object", "patternProperties": named(40, |_| json!({}))})),
            "takes more than 100000 steps",
        ),
        (
            schema(
                json!({"type": "object", "required": (0..1001).map(|i| i.to_string()).collect::<Vec<_>>()}),
            ),
            "1001 required names",
        ),
    ]);
}

#[test]
fn lengths_that_no_answer_has_are_refused() {
    check(["minItems", "minLength", "minProperties"].map(|keyword| {
        (
            schema(json!({"properties": {"a": {keyword: 1_000_000_000}}})),
            "exceeds the limit of 65536",
        )
    }));
}

#[test]
fn counts_are_not_written_out() {
    let forms = [
        schema(json!({"type": "array", "items": {"type": "null"}, "maxItems": 1_000_000_000})),
        schema(json!({"type": "array", "minItems": 65_536})),
        schema(json!({"type": "string", "maxLength": 1_000_000_000})),
        schema(json!({"type": "object", "maxProperties": 1_000_000_000})),
        regex("((a{1000}){1000}){1000}"),
        regex("(.*a.{20})"),
        regex("(a*)*b"),
        lark("start: ((\"a\" \"b\"){1,1000}){1,1000000000}"),
    ];
    for form in forms {
        grammars().compile(&form).unwrap();
    }
}

#[test]
fn regexes_that_take_much_work_are_refused() {
    let stars = |count, class: fn(usize) -> String| joined(count, "", |i| class(i) + "*");
    let letters = |i: usize| format!("[a-{}]", char::from(b'b' + (i % 24) as u8));
    check([
        (
            regex(&stars(8000, |_| "a".to_owned())),
            "7999 parts of regexes that may be left out",
        ),
        (
            regex(&stars(2000, letters)),
            "1999 parts of regexes that may be left out",
        ),
        (regex(&stars(900, letters)), "too much work"),
        (regex(&"a?".repeat(900)), "too much work"),
        (
            lark("start: T\nT: /(.*a.{20})/ & ~/(.*b.{20})/ & /.*c.{20}/"),
            "too complex to tell whether they match",
        ),
        (
            lark(&format!(
                "start: A0\n{}\nA40: \"x\"*",
                joined(40, "\n", |i| format!("A{i}: A{0} A{0}", i + 1))
            )),
            "too many or too long",
        ),
        (
            lark(&format!(
                "start: A0\n{}\nA14: \"x\"*",
                joined(14, "\n", |i| format!("A{i}: A{0} A{0}", i + 1))
            )),
            "16383 parts of regexes that may be left out",
        ),
        (
            lark(&format!("start: T\nA: \"a\"*\nT: {}", "A ".repeat(15_000))),
            "14999 parts of regexes",
        ),
    ]);
}

#[test]
fn ambiguous_grammars_that_take_much_work_are_refused() {
    // Each of many rules matches each part of a word.
    let rules = joined(190, "\n", |i| {
        format!("a{i}: /[a-z]/ b{i}?\nb{i}: \"q{i}\" | part")
    });
    let parts = joined(190, "|", |i| format!("a{i}"));
    let array = json!({"type": "array", "items": {"$ref": "#"}});
    check([
        (
            lark(&format!("start: part+\npart: {parts}\n{rules}")),
            "to tell what may come next",
        ),
        (
            schema(json!({"anyOf": vec![array; 2500]})),
            "let fewer alternatives begin alike",
        ),
    ]);
}

#[test]
fn combinations_that_explode_are_refused() {
    let any = |count| json!({"anyOf": (0..count).map(|i| json!({"properties": {format!("p{i}"): {}}})).collect::<Vec<_>>()});
    let values: Vec<usize> = (0..2000).collect();
    let node = |this: &str| {
        json!({
            "type": "object",
            "properties": {
                "next": {"anyOf": [{"$ref": this}, {"$ref": this}]},
                "big": {"enum": values},
            },
        })
    };
    check([
        (
            schema(json!({"allOf": [any(30), any(30), any(30), any(30)]})),
            "more than 100000 steps",
        ),
        (
            schema(json!({
                "anyOf": vec![json!({"type": "object"}); 1000],
                "properties": {"big": {"enum": values}},
            })),
            "more than 100000 steps",
        ),
        (
            schema(json!({
                "allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}],
                "$defs": {"a": node("#/$defs/a"), "b": node("#/$defs/b")},
            })),
            "more than 100",
        ),
        (
            schema(json!({
                "allOf": [{"$ref": "#/$defs/a%62"}, {"$ref": "#/$defs/b"}],
                "$defs": {
                    "ab": {"properties": {"next": {"$ref": "#/$defs/ab"}}},
                    "b": {"properties": {"next": {"$ref": "#/$defs/b"}}},
                },
            })),
            "within each other more than 100 deep",
        ),
        (
            schema(json!({
                "type": "object",
                "minProperties": 1,
                "additionalProperties": false,
                "properties": named(400, |_| json!({})),
            })),
            "more than 100000 steps",
        ),
        (schema(json!({"type": "null", "$ref": "#"})), "steps"),
        (
            schema(json!({"anyOf": vec![json!({"type": "array"}); 1000], "const": values})),
            "more than 100000 steps",
        ),
        (
            schema(
                json!({"anyOf": vec![json!({"type": "string"}); 1000], "const": "x".repeat(50_000)}),
            ),
            "more than 100000 steps",
        ),
    ]);
}

#[test]
fn long_chains_of_references_are_followed() {
    let count = 900;
    let mut schema = named(
        count,
        |i| json!({"items": {"$ref": format!("#/p{}", i + 1)}}),
    );
    schema[format!("p{count}")] = json!({"type": "null"});
    schema["$ref"] = json!("#/p0");
    grammars()
        .compile(&Form::JsonSchema(schema.to_string()))
        .unwrap();
}

#[test]
fn what_the_library_panics_at_is_refused() {
    // More kinds of blanks than it has numbers for.
    let blanks = joined(300, " | ", |i| {
        format!("%json {{\"x-guidance\": {{\"whitespace_pattern\": \"[ ]{{0,{i}}}\"}}}}")
    });
    check([(
        lark(&format!("start: {blanks}")),
        "the grammar library fails on it",
    )]);
}
