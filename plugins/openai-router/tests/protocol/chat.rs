//! Chat answers, whole and streamed.

use plugin_sdk::{ApiError, Delta, Event, FinishReason};

use crate::support::*;

fn chunks(lines: &[&str]) -> String {
    transcript("chat.completion.chunk", "chatcmpl-r1", lines)
}

fn reasoning_and_text() -> Vec<Event> {
    vec![
        grown(0, Delta::Reasoning("Hm.".to_owned()), 1),
        content(0, "Hello ", 2),
        content(0, "\"you\"", 3),
    ]
}

fn two_calls() -> Vec<Event> {
    vec![
        grown(0, call(0, "weather"), 1),
        grown(0, arguments(0, r#"{"city":"#), 2),
        grown(0, arguments(0, r#""Rome"}"#), 3),
        grown(0, call(1, "time"), 4),
        grown(0, arguments(1, "{}"), 5),
    ]
}

#[test]
fn a_whole_answer_has_every_key_that_openai_requires() {
    let (_, answer) = accept(CHAT, chat(""));
    assert_eq!(
        header_of(&answer, "content-type").as_deref(),
        Some("application/json")
    );
    let body = run(
        answer,
        vec![reasoning_and_text(), vec![finished(0, FinishReason::Stop)]],
        usage(3),
    );
    let expected = concat!(
        r#"{"id":"chatcmpl-r1","object":"chat.completion","created":1800000000,"model":"tiny","#,
        r#""choices":[{"index":0,"message":{"role":"assistant","content":"Hello \"you\"","refusal":null,"#,
        r#""reasoning_content":"Hm.","reasoning":"Hm."},"logprobs":null,"finish_reason":"stop"}],"#,
        r#""usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,"#,
        r#""prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":1}}}"#,
    );
    assert_eq!(body, expected);
}

#[test]
fn a_whole_answer_of_calls_has_null_content() {
    let (_, answer) = accept(CHAT, chat(""));
    let body = run(
        answer,
        vec![two_calls(), vec![finished(0, FinishReason::ToolCalls)]],
        usage(5),
    );
    let expected = concat!(
        r#""choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":null,"tool_calls":["#,
        r#"{"id":"call_08dc8307b57be76c_0_0","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Rome\"}"}},"#,
        r#"{"id":"call_08dc8307b57be76c_0_1","type":"function","function":{"name":"time","arguments":"{}"}}"#,
        r#"]},"logprobs":null,"finish_reason":"tool_calls"}],"#,
    );
    assert!(body.contains(expected), "{body}");
}

#[test]
fn whole_choices_come_in_order_however_their_pieces_came() {
    let (_, answer) = accept(CHAT, chat(r#""n":2"#));
    let events = vec![
        content(1, "b", 1),
        content(0, "a", 2),
        finished(1, FinishReason::Length),
        finished(0, FinishReason::ContentFilter),
    ];
    let body: serde_json::Value =
        serde_json::from_str(&run(answer, vec![events], usage(2))).unwrap();
    let seen: Vec<_> = body["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            (
                c["index"].clone(),
                c["message"]["content"].clone(),
                c["finish_reason"].clone(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (0.into(), "a".into(), "content_filter".into()),
            (1.into(), "b".into(), "length".into())
        ]
    );
}

#[test]
fn a_stream_names_the_role_with_the_first_piece_and_the_reason_in_a_chunk_of_its_own() {
    let (request, answer) = accept(CHAT, chat(r#""stream":true"#));
    assert!(request.stream);
    assert_eq!(
        header_of(&answer, "content-type").as_deref(),
        Some("text/event-stream")
    );
    assert_eq!(
        header_of(&answer, "cache-control").as_deref(),
        Some("no-cache")
    );
    assert_eq!(
        header_of(&answer, "x-accel-buffering").as_deref(),
        Some("no")
    );
    let mut events = reasoning_and_text();
    events.push(finished(0, FinishReason::Stop));
    let expected = chunks(&[
        r#"…"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":0,"delta":{"reasoning_content":"Hm.","reasoning":"Hm."},"logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":0,"delta":{"content":"Hello "},"logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":0,"delta":{"content":"\"you\""},"logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}"#,
        "[DONE]",
    ]);
    assert_eq!(run(answer, vec![vec![], events], usage(3)), expected);
}

#[test]
fn a_streamed_call_has_its_id_and_name_once_and_its_index_always() {
    let (_, answer) = accept(CHAT, chat(r#""stream":true"#));
    let expected = chunks(&[
        r#"…"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_08dc8307b57be76c_0_0","type":"function","function":{"name":"weather","arguments":""}}]},"logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]},"logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"Rome\"}"}}]},"logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_08dc8307b57be76c_0_1","type":"function","function":{"name":"time","arguments":""}}]},"logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]},"logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"tool_calls"}]}"#,
        "[DONE]",
    ]);
    assert_eq!(
        run(
            answer,
            vec![two_calls(), vec![finished(0, FinishReason::ToolCalls)]],
            usage(5)
        ),
        expected
    );
}

#[test]
fn without_parallel_calls_only_the_first_call_is_sent() {
    for (fields, quoted) in [
        ("", r#""name":"time""#),
        (r#","stream":true"#, r#""name":"time""#),
    ] {
        let (_, both) = accept(
            CHAT,
            chat(&format!(r#""parallel_tool_calls":true{fields}"#)),
        );
        let (_, first) = accept(
            CHAT,
            chat(&format!(r#""parallel_tool_calls":false{fields}"#)),
        );
        let batches = || vec![two_calls(), vec![finished(0, FinishReason::ToolCalls)]];
        assert!(run(both, batches(), usage(5)).contains(quoted));
        let first = run(first, batches(), usage(5));
        assert!(
            first.contains(r#""name":"weather""#) && !first.contains(quoted),
            "{first}"
        );
    }
}

#[test]
fn include_usage_puts_null_in_every_chunk_and_the_totals_in_one_more() {
    let (_, answer) = accept(
        CHAT,
        chat(r#""stream":true,"stream_options":{"include_usage":true}"#),
    );
    let expected = chunks(&[
        r#"…"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}"#,
        r#"…"choices":[{"index":0,"delta":{"content":"a"},"logprobs":null,"finish_reason":null}],"usage":null}"#,
        r#"…"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}],"usage":null}"#,
        r#"…"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":1}}}"#,
        "[DONE]",
    ]);
    assert_eq!(
        run(
            answer,
            vec![
                vec![content(0, "a", 1)],
                vec![finished(0, FinishReason::Length)]
            ],
            usage(2)
        ),
        expected
    );
}

#[test]
fn continuous_usage_puts_the_running_totals_in_every_chunk() {
    let options =
        r#""stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}"#;
    let (_, answer) = accept(CHAT, chat(options));
    let batches = vec![
        vec![content(0, "a", 1)],
        vec![content(0, "b", 2)],
        vec![finished(0, FinishReason::Stop)],
    ];
    let text = run(answer, batches, usage(3));
    let counts: Vec<_> = text
        .split(r#""completion_tokens":"#)
        .skip(1)
        .map(|rest| &rest[..1])
        .collect();
    assert_eq!(counts, ["1", "1", "2", "2", "3"]);
    assert!(!text.contains(r#""usage":null"#), "{text}");
}

#[test]
fn a_choice_without_content_still_gets_its_role_and_a_usage_not_yet_known_is_null() {
    let options = r#""stream":true,"stream_options":{"continuous_usage_stats":true}"#;
    let (_, answer) = accept(CHAT, chat(options));
    let expected = chunks(&[
        r#"…"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}"#,
        r#"…"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}"#,
        "[DONE]",
    ]);
    assert_eq!(
        run(
            answer,
            vec![vec![finished(0, FinishReason::Stop)]],
            usage(1)
        ),
        expected
    );
}

#[test]
fn each_choice_of_a_stream_gets_its_own_role_and_reason() {
    let (_, answer) = accept(CHAT, chat(r#""n":2,"stream":true"#));
    let events = vec![
        content(1, "b", 1),
        content(0, "a", 2),
        finished(0, FinishReason::Stop),
        content(1, "c", 3),
        finished(1, FinishReason::Length),
    ];
    let expected = chunks(&[
        r#"…"choices":[{"index":1,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":1,"delta":{"content":"b"},"logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":0,"delta":{"content":"a"},"logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}"#,
        r#"…"choices":[{"index":1,"delta":{"content":"c"},"logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":1,"delta":{},"logprobs":null,"finish_reason":"length"}]}"#,
        "[DONE]",
    ]);
    assert_eq!(run(answer, vec![events], usage(3)), expected);
}

#[test]
fn a_failure_before_the_first_byte_is_an_error_body() {
    for fields in ["", r#""stream":true"#] {
        let (_, answer) = accept(CHAT, chat(fields));
        let error = ApiError::invalid("messages", "Too long.").with_code("context_length_exceeded");
        let expected = r#"{"error":{"message":"Too long.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;
        assert_eq!(run_failing(answer, vec![vec![]], error), expected);
    }
}

#[test]
fn a_form_that_the_host_refuses_is_blamed_on_the_field_that_asked_for_it() {
    for (fields, param) in [
        (
            r#""response_format":{"type":"json_object"}"#,
            "response_format",
        ),
        (
            r#""structured_outputs":{"regex":"a"}"#,
            "structured_outputs",
        ),
        (
            r#""response_format":{"type":"text"},"structured_outputs":{"regex":"a"}"#,
            "structured_outputs",
        ),
    ] {
        let (_, answer) = accept(CHAT, chat(fields));
        let error = ApiError::invalid("constraint", "Cannot be kept.");
        let text = run_failing(answer, vec![], error);
        assert!(text.contains(&format!(r#""param":"{param}""#)), "{text}");
    }
}

#[test]
fn a_failure_in_the_middle_of_a_stream_is_an_event_and_then_the_end() {
    let (_, answer) = accept(CHAT, chat(r#""stream":true"#));
    let text = run_failing(
        answer,
        vec![vec![content(0, "a", 1)]],
        ApiError::server("The engine stopped."),
    );
    let expected = chunks(&[
        r#"…"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":0,"delta":{"content":"a"},"logprobs":null,"finish_reason":null}]}"#,
        r#"{"error":{"message":"The engine stopped.","type":"server_error","param":null,"code":null}}"#,
        "[DONE]",
    ]);
    assert_eq!(text, expected);
}
