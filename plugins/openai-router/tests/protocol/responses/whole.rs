//! Responses sent as one body.

use plugin_sdk::{ApiError, FinishReason};
use serde_json::json;

use super::*;

#[test]
fn a_whole_answer_has_every_key_that_openai_requires() {
    let (_, answer) = accept(RESPONSES, response(""));
    assert_eq!(
        header_of(&answer, "content-type").as_deref(),
        Some("application/json")
    );
    let events = vec![
        reasoning("Hm."),
        text("Hello "),
        text("\"you\""),
        finished(0, FinishReason::Stop),
    ];
    let body = run(answer, vec![events], usage(3));
    let expected = concat!(
        r#"{"id":"resp_r1","object":"response","created_at":1800000000,"status":"completed","completed_at":null,"#,
        r#""error":null,"incomplete_details":null,"model":"tiny","output":["#,
        r#"{"type":"reasoning","id":"rs_08dc8307b57be76c_0","status":"completed","summary":[],"#,
        r#""content":[{"type":"reasoning_text","text":"Hm."}]},"#,
        r#"{"type":"message","id":"msg_08dc8307b57be76c_1","status":"completed","role":"assistant","#,
        r#""content":[{"type":"output_text","text":"Hello \"you\"","annotations":[],"logprobs":[]}]}],"#,
        r#""usage":{"input_tokens":7,"input_tokens_details":{"cache_write_tokens":0,"cached_tokens":4},"#,
        r#""output_tokens":3,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":10},"#,
    );
    assert_eq!(body, format!("{expected}{ECHO}}}"));
}

#[test]
fn the_request_is_repeated_as_the_client_wrote_it() {
    let fields = concat!(
        r#""instructions":"Be \u0062rief.","max_output_tokens":20,"metadata":{"b":"1","a":"2"},"parallel_tool_calls":false,"#,
        r#""prompt_cache_key":"k","reasoning":{"effort":"low","summary":"auto"},"safety_identifier":"s","#,
        r#""service_tier":"priority","store":true,"temperature":0.70,"top_p":0,"text":{"format":{"type":"json_schema","#,
        r#""name":"n","schema":{"type":"object"}},"verbosity":"low"},"tool_choice":{"type":"allowed_tools","mode":"auto","#,
        r#""tools":[{"type":"function","name":"f"}]},"tools":[{"type":"function","name":"f","parameters":{"z": 1}},"#,
        r#"{"name":"g","strict":true,"description":"d","type":"function"}],"include":["message.output_text.logprobs"],"#,
        r#""top_logprobs":2,"truncation":"auto","user":"u""#,
    );
    let (_, answer) = accept(RESPONSES, response(fields));
    let body = run(
        answer,
        vec![vec![text("a"), finished(0, FinishReason::Stop)]],
        usage(3),
    );
    let expected = concat!(
        r#""background":false,"instructions":"Be \u0062rief.","max_output_tokens":20,"max_tool_calls":null,"#,
        r#""metadata":{"b":"1","a":"2"},"parallel_tool_calls":false,"previous_response_id":null,"prompt_cache_key":"k","#,
        r#""reasoning":{"effort":"low","summary":"auto"},"safety_identifier":"s","service_tier":"default","store":false,"#,
        r#""temperature":0.70,"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"}},"verbosity":"low"},"#,
        r#""tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"}]},"#,
        r#""tools":[{"type":"function","name":"f","description":null,"parameters":{"z": 1},"strict":null},"#,
        r#"{"type":"function","name":"g","description":"d","parameters":null,"strict":true}],"#,
        r#""top_logprobs":2,"top_p":0,"truncation":"auto","user":"u"}"#,
    );
    assert!(body.ends_with(expected), "{body}");
}

#[test]
fn calls_are_items_beside_the_message() {
    let mut events = vec![text("Let me see.")];
    events.extend(two_calls().split_off(2));
    let body = body_of("", events);
    let expected = json!([
        {"type":"message","id":"msg_08dc8307b57be76c_0","status":"completed","role":"assistant",
         "content":[{"type":"output_text","text":"Let me see.","annotations":[],"logprobs":[]}]},
        {"type":"function_call","id":"fc_08dc8307b57be76c_1","status":"completed","call_id":"call_08dc8307b57be76c_0_0",
         "name":"weather","arguments":"{\"city\":\"Rome\"}"},
        {"type":"function_call","id":"fc_08dc8307b57be76c_2","status":"completed","call_id":"call_08dc8307b57be76c_0_1",
         "name":"time","arguments":"{}"},
    ]);
    assert_eq!(body["output"], expected);
    assert_eq!(body["status"], "completed");
}

#[test]
fn text_after_a_call_is_a_message_of_its_own() {
    let events = vec![
        text("a"),
        grown(0, call(0, "f"), 1),
        text("b"),
        text("c"),
        finished(0, FinishReason::Stop),
    ];
    let body = body_of("", events);
    let seen: Vec<_> = body["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (
                item["id"].as_str().unwrap(),
                item["content"][0]["text"].as_str(),
            )
        })
        .collect();
    let expected = [
        ("msg_08dc8307b57be76c_0", Some("a")),
        ("fc_08dc8307b57be76c_1", None),
        ("msg_08dc8307b57be76c_2", Some("bc")),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn an_answer_that_was_cut_off_is_incomplete_and_so_is_its_last_item() {
    for (reason, said) in [
        (FinishReason::Length, "max_output_tokens"),
        (FinishReason::ContentFilter, "content_filter"),
    ] {
        let body = body_of("", vec![reasoning("Hm."), text("He"), finished(0, reason)]);
        assert_eq!(body["status"], "incomplete");
        assert_eq!(body["incomplete_details"], json!({ "reason": said }));
        assert_eq!(body["output"][0]["status"], "completed");
        assert_eq!(body["output"][1]["status"], "incomplete");
        assert_eq!(body["usage"]["output_tokens"], 3);
    }
}

#[test]
fn an_answer_that_says_nothing_has_no_items() {
    let body = body_of("", vec![text(""), finished(0, FinishReason::Stop)]);
    assert_eq!(
        (&body["output"], &body["status"]),
        (&json!([]), &json!("completed"))
    );
}

#[test]
fn without_parallel_calls_only_the_first_call_is_an_item() {
    for (fields, num_calls) in [
        (r#""parallel_tool_calls":true"#, 2),
        (r#""parallel_tool_calls":false"#, 1),
    ] {
        let body = body_of(fields, two_calls());
        let output = body["output"].as_array().unwrap();
        assert_eq!(output.len(), 1 + num_calls);
        assert_eq!(output[1]["arguments"], r#"{"city":"Rome"}"#);
    }
}

#[test]
fn a_messages_log_probabilities_are_those_of_its_own_tokens() {
    let events = vec![
        chosen(0, vec![token("Hm", -0.5)]),
        reasoning("Hm"),
        chosen(0, vec![token("\n", -0.25)]),
        chosen(
            0,
            vec![position(
                (b"\xe2\x82", -1.0),
                &[(b"\xe2\x82", -1.0), (b"a", -2.0)],
            )],
        ),
        text("€"),
        chosen(0, vec![token("", -0.125)]),
        finished(0, FinishReason::Stop),
    ];
    let body = body_of(
        r#""include":["message.output_text.logprobs"],"top_logprobs":2"#,
        events,
    );
    let newline = json!({"token":"\n","logprob":-0.25,"bytes":[10]});
    let mut first = newline.clone();
    first["top_logprobs"] = json!([newline]);
    let expected = json!([first, {
        "token":"\u{fffd}","logprob":-1.0,"bytes":[226,130],
        "top_logprobs":[{"token":"\u{fffd}","logprob":-1.0,"bytes":[226,130]},{"token":"a","logprob":-2.0,"bytes":[97]}],
    }]);
    assert_eq!(body["output"][1]["content"][0]["logprobs"], expected);
}

#[test]
fn a_failure_is_an_error_body() {
    let (_, answer) = accept(RESPONSES, response(""));
    let error = ApiError::server("The engine stopped.");
    let expected = r#"{"error":{"message":"The engine stopped.","type":"server_error","param":null,"code":null}}"#;
    assert_eq!(run_failing(answer, vec![vec![text("a")]], error), expected);
}
