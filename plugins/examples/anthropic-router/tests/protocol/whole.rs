//! Answers sent as one body.

use plugin_sdk::{ApiError, Delta, FinishReason, Reply};

use crate::support::*;

const USAGE_OF_9: &str = r#""usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":9,"output_tokens_details":{"thinking_tokens":1}}}"#;

fn message(deltas: Vec<Delta>, end: FinishReason) -> serde_json::Value {
    let (_, answer) = accept(ask(""));
    serde_json::from_str(&run(answer, deltas, end)).unwrap()
}

#[test]
fn a_message_has_its_blocks_in_the_order_in_which_they_were_written() {
    let (request, answer) = accept(ask(""));
    assert!(!request.stream);
    let headers: Vec<_> = answer
        .headers()
        .into_iter()
        .map(|header| (header.name, String::from_utf8(header.value).unwrap()))
        .collect();
    let expected = [("content-type", "application/json"), ("request-id", "r1")];
    assert_eq!(
        headers,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    let body = run(answer, everything(), FinishReason::ToolCalls);
    let expected = [
        r#"{"id":"msg_r1","type":"message","role":"assistant","model":"tiny","content":["#,
        r#"{"type":"thinking","thinking":"Hm. Well.","signature":""},"#,
        r#"{"type":"text","text":"Let me \"look\"."},"#,
        r#"{"type":"tool_use","id":"toolu_08dc8307b57be76c_0","name":"weather","input":{"city":"Rome"}},"#,
        r#"{"type":"tool_use","id":"toolu_08dc8307b57be76c_1","name":"time","input":{}}"#,
        r#"],"stop_reason":"tool_use","stop_sequence":null,"#,
        USAGE_OF_9,
    ];
    assert_eq!(body, expected.concat());
}

#[test]
fn every_end_has_its_reason_and_a_stop_string_looks_like_the_model_s_own_end() {
    for (end, reason) in [
        (FinishReason::Stop, "end_turn"),
        (FinishReason::Length, "max_tokens"),
        (FinishReason::ToolCalls, "tool_use"),
        (FinishReason::ContentFilter, "refusal"),
    ] {
        let message = message(vec![text("a")], end);
        assert_eq!(message["stop_reason"], reason);
        assert!(message["stop_sequence"].is_null());
    }
}

#[test]
fn an_answer_without_text_has_no_blocks() {
    let message = message(vec![text(""), thought("")], FinishReason::Stop);
    assert_eq!(message["content"], serde_json::json!([]));
}

#[test]
fn arguments_are_passed_on_as_the_model_wrote_them() {
    let (_, answer) = accept(ask(""));
    let body = run(
        answer,
        vec![call(0, "f"), arguments(0, " {\"z\": 1.50, \"a\":1e2} ")],
        FinishReason::ToolCalls,
    );
    assert!(body.contains(r#""input":{"z": 1.50, "a":1e2}}"#), "{body}");
}

#[test]
fn arguments_that_are_no_object_are_wrapped_and_none_are_an_empty_one() {
    for (written, input) in [
        ("", r#"{}"#),
        ("null", r#"{}"#),
        ("{\"city\":", r#"{"INVALID_JSON":"{\"city\":"}"#),
        ("[1]", r#"{"INVALID_JSON":"[1]"}"#),
        ("Rome", r#"{"INVALID_JSON":"Rome"}"#),
    ] {
        let deltas = vec![call(0, "f"), arguments(0, written)];
        let message = message(deltas, FinishReason::ToolCalls);
        assert_eq!(
            message["content"][0]["input"].to_string(),
            input,
            "{written}"
        );
    }
}

#[test]
fn arguments_find_their_call_though_another_has_begun() {
    let deltas = vec![
        call(0, "f"),
        call(1, "g"),
        arguments(0, r#"{"a":1}"#),
        arguments(1, r#"{"b":2}"#),
    ];
    let message = message(deltas, FinishReason::ToolCalls);
    assert_eq!(message["content"][0]["input"].to_string(), r#"{"a":1}"#);
    assert_eq!(message["content"][1]["input"].to_string(), r#"{"b":2}"#);
}

#[test]
fn without_parallel_calls_the_answer_has_the_first_alone() {
    for stream in ["", r#","stream":true"#] {
        let choice = format!(
            r#""tools":[{{"name":"weather","input_schema":{{}}}}],"tool_choice":{{"type":"auto","disable_parallel_tool_use":true}}{stream}"#
        );
        let (_, answer) = accept(ask(&choice));
        let body = run(answer, everything(), FinishReason::ToolCalls);
        assert!(
            body.contains("weather") && !body.contains("time\""),
            "{body}"
        );
    }
}

fn failure(error: ApiError) -> String {
    let (_, answer) = accept(ask(""));
    run_failing(answer, vec![text("a")], error)
}

#[test]
fn a_failure_has_anthropic_s_word_for_its_status() {
    for (status, kind) in [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ] {
        assert_eq!(
            failure(ApiError::new(status, "server_error", "no")),
            format!(
                r#"{{"type":"error","error":{{"type":"{kind}","message":"no"}},"request_id":"r1"}}"#
            )
        );
    }
}

#[test]
fn a_failure_names_its_field_as_this_protocol_does() {
    for (param, message, expected) in [
        ("temperature", "`temperature` is 3", "`temperature` is 3"),
        ("messages", "too long", "messages: too long"),
        ("stop", "too many", "stop_sequences: too many"),
        ("constraint", "no schema", "output_config.format: no schema"),
    ] {
        let body = failure(ApiError::invalid(param, message));
        assert!(
            body.contains(&format!(r#""message":"{expected}""#)),
            "{body}"
        );
    }
    let body = failure(ApiError::invalid(
        "continue_final_message",
        "set continue_final_message to false",
    ));
    assert!(
        body.contains("`messages` ends with the assistant") && !body.contains("continue_final"),
        "{body}"
    );
}
