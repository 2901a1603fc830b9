//! Inputs that a plugin must stand: whatever a client can send, and whatever an engine can answer. A value that the host itself
//! never lets through, such as NaN as a temperature, is not among them where a plugin is handed records.

pub(super) mod function;
pub(super) mod router;
pub(super) mod shaper;
pub(super) mod template;

/// Bytes of a huge text: what the server takes as a body at most, or so.
const HUGE: usize = 4 << 20;

/// Levels of a deeply nested JSON.
const DEEP: usize = 10_000;

/// Of things that usually are few.
const MANY: usize = 10_000;

/// No text in UTF-8: bytes that never occur in one, a character that breaks off, half of a surrogate pair.
const INVALID_UTF_8: &[u8] = b"{\"a\": \"\xff\xfe\xc3\", \"b\": \"\xed\xa0\x80\"}";

/// JSON with numbers that no type holds, and words that are none in JSON.
const EXTREME_NUMBERS: [&str; 4] = [
    r#"{"n": 1e400, "temperature": -1e-400, "max_tokens": 99999999999999999999999999, "top_p": 1e308}"#,
    r#"{"n": NaN, "temperature": Infinity}"#,
    r#"{"n": -1, "temperature": -0.0, "max_tokens": 18446744073709551616, "seed": -9223372036854775809}"#,
    "-0.0e+00000000000000000000000000000000000000000000000001",
];

/// A text of 4 MiB in which every character has several bytes.
fn huge_text() -> String {
    "é😀".repeat(HUGE / "é😀".len())
}

/// A list in a list, and so on.
fn deep_json() -> String {
    format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP))
}

/// Deep objects, in the members that clients' protocols have.
fn deep_bodies() -> [String; 3] {
    let list = deep_json();
    let object = format!("{}1{}", r#"{"a":"#.repeat(DEEP), "}".repeat(DEEP));
    let named = format!(
        r#"{{"model": "mock-model", "messages": {list}, "prompt": {list}, "tools": {list}, "question": {object}}}"#
    );
    [list, object, named]
}

/// JSON with many members and many items.
fn many_items() -> String {
    let message = r#"{"role":"user","content":"x"}"#;
    let messages = vec![message; MANY].join(",");
    let members: Vec<String> = (0..MANY)
        .map(|number| format!(r#""k{number}":{number}"#))
        .collect();
    format!(
        r#"{{"model":"mock-model","messages":[{messages}],"metadata":{{{}}}}}"#,
        members.join(",")
    )
}
