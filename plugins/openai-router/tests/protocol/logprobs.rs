//! Log probabilities in answers: each token's once, in order, in the next chunk of its choice.

use plugin_sdk::{Event, FinishReason, PositionLogprobs, mock};
use serde_json::{Value, json};

use crate::support::*;

/// A token with itself as its only alternative.
fn token(text: &str, logprob: f32) -> PositionLogprobs {
    position((text.as_bytes(), logprob), &[(text.as_bytes(), logprob)])
}

fn body_of(path: &str, request: String, events: Vec<Event>) -> Value {
    let (_, answer) = accept(path, request);
    serde_json::from_str(&run(answer, vec![events], usage(1))).unwrap()
}

/// The choices of the chunks that a stream sends for these batches, the chunk that only names the role left out.
fn chunks_of(path: &str, request: String, batches: Vec<Vec<Event>>) -> Vec<Value> {
    let (_, answer) = accept(path, request);
    let text = run(answer, batches, usage(1));
    let data = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str::<Value>(data).unwrap()["choices"][0].take())
        .filter(|choice| choice["delta"]["role"] != "assistant")
        .collect()
}

/// Of each chunk: the choice, its text and the tokens whose log probabilities it carries.
fn carried(chunks: &[Value]) -> Vec<(u64, String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let tokens = |choice: &Value| match &choice["logprobs"] {
        Value::Null => Vec::new(),
        of if of["content"].is_array() => {
            let entries = of["content"].as_array().unwrap();
            entries.iter().map(|entry| text(&entry["token"])).collect()
        }
        of => of["tokens"].as_array().unwrap().iter().map(text).collect(),
    };
    let delta = |choice: &Value| text(&choice["delta"]["content"]) + &text(&choice["text"]);
    chunks
        .iter()
        .map(|choice| {
            (
                choice["index"].as_u64().unwrap(),
                delta(choice),
                tokens(choice),
            )
        })
        .collect()
}

fn expected(chunks: &[(u64, &str, &[&str])]) -> Vec<(u64, String, Vec<String>)> {
    let owned = |&(index, text, tokens): &(u64, &str, &[&str])| {
        let tokens = tokens.iter().map(|token| token.to_string()).collect();
        (index, text.to_owned(), tokens)
    };
    chunks.iter().map(owned).collect()
}

#[test]
fn a_whole_chat_has_an_entry_for_each_token_with_text_bytes_and_alternatives() {
    let events = vec![
        chosen(
            0,
            vec![
                position((b"Hi", -0.25), &[(b"Hi", -0.25), (b"Yo", -1.5)]),
                position((b"\xe2\x82", -9999.0), &[]),
            ],
        ),
        chosen(
            0,
            vec![position(("\u{ac}".as_bytes(), -2.0), &[(b"", -1.0)])],
        ),
        content(0, "Hi€", 3),
        finished(0, FinishReason::Stop),
    ];
    let (_, answer) = accept(CHAT, chat(r#""logprobs":true,"top_logprobs":2"#));
    let body = run(answer, vec![events], usage(3));
    let expected = concat!(
        r#""logprobs":{"content":["#,
        r#"{"token":"Hi","logprob":-0.25,"bytes":[72,105],"top_logprobs":["#,
        r#"{"token":"Hi","logprob":-0.25,"bytes":[72,105]},{"token":"Yo","logprob":-1.5,"bytes":[89,111]}]},"#,
        "{\"token\":\"\u{fffd}\",\"logprob\":-9999.0,\"bytes\":[226,130],\"top_logprobs\":[]},",
        "{\"token\":\"\u{ac}\",\"logprob\":-2.0,\"bytes\":[194,172],\"top_logprobs\":[",
        r#"{"token":"","logprob":-1.0,"bytes":[]}]}"#,
        r#"],"refusal":null},"finish_reason":"stop""#,
    );
    assert!(body.contains(expected), "{body}");
}

#[test]
fn a_whole_completion_has_a_list_for_each_property() {
    let events = vec![
        chosen(0, vec![token("Hé", -0.25), token("", -0.5)]),
        chosen(0, vec![token(" you", -1.5), token("!", -0.75)]),
        content(0, "Hé you!", 4),
        finished(0, FinishReason::Length),
    ];
    let (_, answer) = accept(COMPLETIONS, completion(r#""logprobs":1"#));
    let body = run(answer, vec![events], usage(4));
    let expected = concat!(
        r#""logprobs":{"tokens":["Hé",""," you","!"],"token_logprobs":[-0.25,-0.5,-1.5,-0.75],"#,
        r#""top_logprobs":[{"Hé":-0.25},{"":-0.5},{" you":-1.5},{"!":-0.75}],"text_offset":[0,2,2,6]}"#,
    );
    assert!(body.contains(expected), "{body}");
}

#[test]
fn a_completion_lists_the_chosen_token_after_likelier_ones_and_each_text_once() {
    let events = vec![
        chosen(
            0,
            vec![
                position((b"c", -3.0), &[(b"a", -0.5), (b"b", -1.0)]),
                position(
                    (b"\xe2", -2.0),
                    &[(b"\xe3", -0.5), (b"\xe2", -2.0), (b"b", -4.0)],
                ),
                position((b"d", -1.0), &[]),
            ],
        ),
        finished(0, FinishReason::Length),
    ];
    let (_, answer) = accept(COMPLETIONS, completion(r#""logprobs":2"#));
    let body = run(answer, vec![events], usage(3));
    let expected = "\"top_logprobs\":[{\"a\":-0.5,\"b\":-1.0,\"c\":-3.0},{\"\u{fffd}\":-0.5,\"b\":-4.0},{\"d\":-1.0}]";
    assert!(body.contains(expected), "{body}");
}

#[test]
fn a_whole_answer_keeps_the_log_probabilities_of_its_choices_apart() {
    let events = || {
        vec![
            chosen(1, vec![token("b", -1.0)]),
            chosen(0, vec![token("a", -0.5)]),
            chosen(1, vec![token("c", -1.0)]),
            content(1, "bc", 2),
            content(0, "a", 3),
            finished(0, FinishReason::Stop),
            finished(1, FinishReason::Stop),
        ]
    };
    let body = body_of(CHAT, chat(r#""n":2,"logprobs":true"#), events());
    let tokens = |choice: usize| {
        let entries = body["choices"][choice]["logprobs"]["content"].as_array();
        let token = |entry: &Value| entry["token"].clone();
        entries.unwrap().iter().map(token).collect::<Vec<_>>()
    };
    assert_eq!(
        (tokens(0), tokens(1)),
        (vec![json!("a")], vec![json!("b"), json!("c")])
    );
    let body = body_of(COMPLETIONS, completion(r#""n":2,"logprobs":0"#), events());
    assert_eq!(body["choices"][0]["logprobs"]["tokens"], json!(["a"]));
    assert_eq!(body["choices"][1]["logprobs"]["tokens"], json!(["b", "c"]));
}

#[test]
fn a_chat_chunk_carries_what_came_since_the_last_one_and_the_roles_chunk_nothing() {
    let (_, answer) = accept(CHAT, chat(r#""stream":true,"logprobs":true"#));
    let batches = vec![
        vec![chosen(0, vec![position((b"\xe2\x82", -1.0), &[])])],
        vec![
            chosen(0, vec![position((b"\xac", -0.5), &[])]),
            content(0, "€", 2),
        ],
        vec![content(0, "!", 2), finished(0, FinishReason::Stop)],
    ];
    let partial =
        "{\"token\":\"\u{fffd}\",\"logprob\":-1.0,\"bytes\":[226,130],\"top_logprobs\":[]}";
    let rest = "{\"token\":\"\u{fffd}\",\"logprob\":-0.5,\"bytes\":[172],\"top_logprobs\":[]}";
    let transcript = transcript(
        "chat.completion.chunk",
        "chatcmpl-r1",
        &[
            r#"…"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#,
            &format!(
                r#"…"choices":[{{"index":0,"delta":{{"content":"€"}},"logprobs":{{"content":[{partial},{rest}],"refusal":null}},"finish_reason":null}}]}}"#
            ),
            r#"…"choices":[{"index":0,"delta":{"content":"!"},"logprobs":null,"finish_reason":null}]}"#,
            r#"…"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}"#,
            "[DONE]",
        ],
    );
    assert_eq!(run(answer, batches, usage(2)), transcript);
}

#[test]
fn a_completion_stream_counts_its_offsets_from_chunk_to_chunk_and_choice_by_choice() {
    let batches = vec![
        vec![chosen(0, vec![token("éé", -1.0)]), content(0, "éé", 1)],
        vec![chosen(1, vec![token("b", -1.0)]), content(1, "b", 2)],
        vec![
            chosen(0, vec![token("x", -1.0), token("yz", -1.0)]),
            content(0, "xyz", 3),
        ],
        vec![chosen(0, vec![token("!", -1.0)]), content(0, "!", 4)],
    ];
    let request = completion(r#""stream":true,"n":2,"logprobs":1"#);
    let offsets: Vec<_> = chunks_of(COMPLETIONS, request, batches)
        .into_iter()
        .map(|chunk| chunk["logprobs"]["text_offset"].clone())
        .collect();
    assert_eq!(offsets, [json!([0]), json!([0]), json!([2, 3]), json!([5])]);
}

#[test]
fn interleaved_choices_never_carry_each_others_tokens() {
    let batch = || {
        vec![
            chosen(1, vec![token("b", -1.0)]),
            chosen(0, vec![token("a", -1.0)]),
            content(0, "a", 1),
            chosen(0, vec![token("A", -1.0)]),
            content(1, "b", 2),
            content(0, "A", 3),
            chosen(1, vec![token("<end>", -1.0)]),
            finished(0, FinishReason::Stop),
            finished(1, FinishReason::Stop),
        ]
    };
    let request = r#""stream":true,"n":2,"logprobs":"#;
    let chats = chunks_of(CHAT, chat(&format!("{request}true")), vec![batch()]);
    let separate = [
        (0, "a", ["a"].as_slice()),
        (1, "b", &["b"]),
        (0, "A", &["A"]),
        (0, "", &[]),
        (1, "", &["<end>"]),
    ];
    assert_eq!(carried(&chats), expected(&separate));
    let completions = chunks_of(
        COMPLETIONS,
        completion(&format!("{request}0")),
        vec![batch()],
    );
    assert_eq!(carried(&completions), expected(&separate));
}

#[test]
fn an_end_token_goes_out_with_the_reason_and_does_not_keep_it_from_the_last_text() {
    let batches = || {
        vec![
            vec![chosen(0, vec![token("a", -1.0)]), content(0, "a", 1)],
            vec![
                chosen(0, vec![token("b", -1.0)]),
                content(0, "b", 2),
                chosen(0, vec![token("<end>", -1.0)]),
                finished(0, FinishReason::Stop),
            ],
        ]
    };
    let request = || completion(r#""stream":true,"logprobs":0"#);
    let merged = chunks_of(COMPLETIONS, request(), batches());
    assert_eq!(
        carried(&merged),
        expected(&[(0, "a", &["a"]), (0, "b", &["b", "<end>"])])
    );
    assert_eq!(merged[1]["finish_reason"], "stop");
    mock::set_config(r#"{"finish":"separate"}"#);
    let separate = chunks_of(COMPLETIONS, request(), batches());
    assert_eq!(
        carried(&separate),
        expected(&[(0, "a", &["a"]), (0, "b", &["b"]), (0, "", &["<end>"])])
    );
}

#[test]
fn tokens_whose_text_comes_later_wait_for_it_even_where_reasons_are_merged() {
    let batch = vec![
        chosen(0, vec![token("a", -1.0)]),
        content(0, "a", 1),
        chosen(0, vec![token("b", -1.0)]),
        content(0, "b", 2),
        finished(0, FinishReason::Stop),
    ];
    let chunks = chunks_of(
        COMPLETIONS,
        completion(r#""stream":true,"logprobs":0"#),
        vec![batch],
    );
    assert_eq!(
        carried(&chunks),
        expected(&[(0, "a", &["a"]), (0, "b", &["b"])])
    );
}

#[test]
fn tokens_of_a_call_that_is_not_sent_go_out_with_the_next_chunk() {
    let batch = vec![
        chosen(0, vec![token("f", -1.0)]),
        grown(0, call(0, "f"), 1),
        chosen(0, vec![token("g", -1.0)]),
        grown(0, call(1, "g"), 2),
        chosen(0, vec![token("<end>", -1.0)]),
        finished(0, FinishReason::ToolCalls),
    ];
    let request = chat(r#""stream":true,"logprobs":true,"parallel_tool_calls":false"#);
    let chunks = chunks_of(CHAT, request, vec![batch]);
    assert_eq!(
        carried(&chunks),
        expected(&[(0, "", &["f"]), (0, "", &["g", "<end>"])])
    );
}
