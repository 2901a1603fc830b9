//! Answers sent as they are made: whole transcripts.

use plugin_sdk::{ApiError, Event, FinishReason, Reply};

use crate::support::*;

/// Events of these data, each named by its type.
fn transcript(data: &[&str]) -> String {
    let event = |data: &&str| {
        let parsed: serde_json::Value = serde_json::from_str(data).unwrap();
        let name = parsed["type"].as_str().unwrap();
        format!("event: {name}\ndata: {data}\n\n")
    };
    data.iter().map(event).collect()
}

/// The first event, with the usage of the first token.
const START: &str = r#"{"type":"message_start","message":{"id":"msg_r1","type":"message","role":"assistant","model":"tiny","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":1,"output_tokens_details":{"thinking_tokens":1}}}}"#;

const STOP: &str = r#"{"type":"message_stop"}"#;

/// The last event but one.
fn end(reason: &str, output_tokens: u32) -> String {
    format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}","stop_sequence":null}},"usage":{{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":{output_tokens},"output_tokens_details":{{"thinking_tokens":1}}}}}}"#
    )
}

#[test]
fn a_stream_of_text_opens_one_block_and_closes_it() {
    let (request, answer) = accept(ask(STREAM));
    assert!(request.stream);
    let headers: Vec<_> = answer
        .headers()
        .into_iter()
        .map(|header| {
            format!(
                "{}: {}",
                header.name,
                String::from_utf8(header.value).unwrap()
            )
        })
        .collect();
    assert_eq!(
        headers,
        [
            "content-type: text/event-stream",
            "cache-control: no-cache",
            "x-accel-buffering: no",
            "request-id: r1"
        ]
    );
    let expected = transcript(&[
        START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello "}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\"you\"\n"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        &end("end_turn", 2),
        STOP,
    ]);
    let deltas = vec![text("Hello "), text("\"you\"\n")];
    assert_eq!(run(answer, deltas, FinishReason::Stop), expected);
}

#[test]
fn a_block_closes_where_the_kind_changes_and_calls_come_complete_at_the_end() {
    let (_, answer) = accept(ask(STREAM));
    let expected = transcript(&[
        START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":" Well."}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Let me "}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"\"look\"."}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_08dc8307b57be76c_0","name":"weather","input":{}}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"city\":\"Rome\"}"}}"#,
        r#"{"type":"content_block_stop","index":2}"#,
        r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_08dc8307b57be76c_1","name":"time","input":{}}}"#,
        r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
        r#"{"type":"content_block_stop","index":3}"#,
        &end("tool_use", 9),
        STOP,
    ]);
    assert_eq!(run(answer, everything(), FinishReason::ToolCalls), expected);
}

#[test]
fn what_follows_a_call_waits_behind_it() {
    let (_, answer) = accept(ask(STREAM));
    let deltas = vec![
        call(0, "f"),
        text("Done"),
        text("."),
        thought("?"),
        arguments(0, "{\"a\":"),
    ];
    let expected = transcript(&[
        START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"toolu_08dc8307b57be76c_0","name":"f","input":{}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"INVALID_JSON\":\"{\\\"a\\\":\"}"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Done."}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"thinking_delta","thinking":"?"}}"#,
        r#"{"type":"content_block_stop","index":2}"#,
        &end("max_tokens", 5),
        STOP,
    ]);
    assert_eq!(run(answer, deltas, FinishReason::Length), expected);
}

#[test]
fn nothing_is_sent_before_the_first_piece_and_an_empty_answer_still_has_its_frame() {
    let (_, mut answer) = accept(ask(STREAM));
    assert_eq!(answer.push(Vec::new()), b"");
    let end_of_1 = end("end_turn", 1);
    assert_eq!(
        run(answer, vec![text("")], FinishReason::Stop),
        transcript(&[START, &end_of_1, STOP])
    );
    let (_, mut answer) = accept(ask(STREAM));
    let finished = Event::Finished(plugin_sdk::ChoiceFinish {
        choice: 0,
        reason: FinishReason::Stop,
    });
    assert_eq!(answer.push(vec![finished]), b"");
    let all = String::from_utf8(answer.finish(usage(1))).unwrap();
    assert_eq!(all, transcript(&[START, &end_of_1, STOP]));
}

#[test]
fn a_failure_before_the_first_piece_is_a_body_and_after_it_the_last_event() {
    let error = || ApiError::new(529, "overloaded", "full");
    let body = r#"{"type":"error","error":{"type":"overloaded_error","message":"full"},"request_id":"r1"}"#;
    let (_, answer) = accept(ask(STREAM));
    assert_eq!(run_failing(answer, vec![], error()), body);
    let (_, answer) = accept(ask(STREAM));
    let expected = transcript(&[
        START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#,
        body,
    ]);
    assert_eq!(run_failing(answer, vec![text("a")], error()), expected);
}
