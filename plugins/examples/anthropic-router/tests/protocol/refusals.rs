//! Why requests are refused, and in which words.

use plugin_sdk::Outcome;

use crate::support::*;

/// The message of a refusal with status 400.
fn refusal(body: impl Into<Vec<u8>>) -> String {
    let response = respond(send(body));
    let text = String::from_utf8(response.body).unwrap();
    assert_eq!(response.status, 400, "{text}");
    let body: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(body["error"]["type"], "invalid_request_error");
    body["error"]["message"].as_str().unwrap().to_owned()
}

fn check(table: &[(&str, &str)]) {
    for (fields, expected) in table {
        let message = refusal(ask(fields));
        assert!(message.contains(expected), "{fields}: {message}");
    }
}

fn check_messages(table: &[(&str, &str)]) {
    for (messages, expected) in table {
        let message = refusal(with_messages(messages, ""));
        assert!(message.contains(expected), "{messages}: {message}");
    }
}

#[test]
fn a_refusal_has_anthropic_s_shape_and_the_request_s_id() {
    let response = respond(send(ask(r#""temperature":1.5"#)));
    assert_eq!(response.status, 400);
    assert_eq!(
        String::from_utf8(response.body).unwrap(),
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"`temperature` must be a number from 0 to 1, not 1.5."},"request_id":"r1"}"#
    );
    let headers: Vec<_> = response
        .headers
        .iter()
        .map(|header| (header.name.as_str(), header.value.as_slice()))
        .collect();
    assert_eq!(
        headers,
        [
            ("content-type", b"application/json".as_slice()),
            ("request-id", b"r1")
        ]
    );
}

#[test]
fn another_model_and_another_path_are_not_found() {
    let body = r#"{"model":"claude","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}"#;
    for (outcome, message) in [
        (
            send(body),
            "model: `claude` is not served here; available: `tiny`.",
        ),
        (
            send_to("POST", "/v1/messages/count_tokens", body),
            "There is no POST /v1/messages/count_tokens here; use POST /v1/messages.",
        ),
        (
            send_to("GET", "/v1/messages", ""),
            "There is no GET /v1/messages here; use POST /v1/messages.",
        ),
    ] {
        let response = respond(outcome);
        assert_eq!(response.status, 404);
        assert_eq!(
            String::from_utf8(response.body).unwrap(),
            format!(
                r#"{{"type":"error","error":{{"type":"not_found_error","message":"{message}"}},"request_id":"r1"}}"#
            )
        );
    }
}

#[test]
fn a_body_that_is_no_json_object_is_refused() {
    for body in ["", "{", "[1]", "\"a\"", "{} {}"] {
        assert!(refusal(body).starts_with("The body"), "{body}");
    }
    assert!(refusal(*b"\xff\xfe").starts_with("The body"));
}

#[test]
fn what_anthropic_requires_is_required() {
    for (body, missing) in [
        (r#"{"max_tokens":1,"messages":[]}"#, "`model` is missing."),
        (
            r#"{"model":"tiny","messages":[]}"#,
            "`max_tokens` is missing.",
        ),
        (
            r#"{"model":"tiny","max_tokens":1}"#,
            "`messages` is missing.",
        ),
        (
            r#"{"model":"tiny","max_tokens":1,"messages":[{"role":"user"}]}"#,
            "`messages[0].content` is missing.",
        ),
        (
            r#"{"model":"tiny","max_tokens":1,"messages":[]}"#,
            "`messages` must hold at least one message.",
        ),
        (
            r#"{"model":"tiny","max_tokens":0,"messages":[]}"#,
            "`max_tokens` must be an integer from 1",
        ),
    ] {
        assert!(refusal(body).contains(missing), "{body}: {}", refusal(body));
    }
}

#[test]
fn unknown_fields_are_refused_wherever_they_stand() {
    check(&[
        (r#""temprature":1"#, "`temprature` is not a field"),
        (r#""n":2"#, "`n` is not a field"),
        (
            r#""metadata":{"email":"x"}"#,
            "`metadata.email` is not a field",
        ),
        (r#""thinking":{"type":"disabled","x":1}"#, "`thinking.x`"),
        (r#""output_config":{"x":1}"#, "`output_config.x`"),
        (
            r#""tools":[{"name":"f","input_schema":{},"x":1}]"#,
            "`tools[0].x`",
        ),
        (
            r#""system":[{"type":"text","text":"a","x":1}]"#,
            "`system[0].x`",
        ),
    ]);
    check_messages(&[
        (
            r#"[{"role":"user","content":"a","name":"x"}]"#,
            "`messages[0].name`",
        ),
        (
            r#"[{"role":"user","content":[{"type":"text","text":"a","x":1}]}]"#,
            "`messages[0].content[0].x`",
        ),
    ]);
}

#[test]
fn fields_that_cannot_be_honoured_are_refused_with_the_reason() {
    check(&[
        (
            r#""container":"c""#,
            "`container` is not supported: this server runs no code.",
        ),
        (r#""mcp_servers":[]"#, "`mcp_servers` is not supported"),
        (
            r#""context_management":{}"#,
            "`context_management` is not supported",
        ),
        (
            r#""service_tier":"fast""#,
            r#"`service_tier` must be "auto" or "standard_only""#,
        ),
        (
            r#""cache_control":{"type":"x"}"#,
            "the only type is `ephemeral`",
        ),
        (
            r#""thinking":{"type":"enabled","budget_tokens":1024}"#,
            "`thinking.budget_tokens` is 1024; it must be less than `max_tokens`, which is 64.",
        ),
        (
            r#""thinking":{"type":"enabled"}"#,
            "`thinking.budget_tokens` is missing.",
        ),
        (
            r#""thinking":{"type":"enabled","budget_tokens":5}"#,
            "an integer from 1024",
        ),
        (
            r#""thinking":{"type":"between_tools"}"#,
            "`thinking.type` must be",
        ),
        (
            r#""thinking":{"type":"adaptive","display":"omitted"}"#,
            "`thinking.display` must be",
        ),
        (
            r#""output_config":{"format":{"type":"xml"}}"#,
            "`output_config.format.type` must be",
        ),
        (
            r#""output_config":{"effort":"huge"}"#,
            "`output_config.effort` must be",
        ),
    ]);
}

#[test]
fn values_outside_their_range_are_refused() {
    check(&[
        (
            r#""temperature":-0.1"#,
            "`temperature` must be a number from 0 to 1, not -0.1.",
        ),
        (r#""temperature":"hot""#, "`temperature` must be a number"),
        (r#""top_p":1.1"#, "`top_p` must be a number from 0 to 1"),
        (r#""top_k":-1"#, "`top_k` must be an integer from 0"),
        (r#""stream":"yes""#, "`stream` must be a boolean"),
        (r#""stop_sequences":"a""#, "`stop_sequences` must be a list"),
        (r#""stop_sequences":[""]"#, "none of them empty"),
        (
            r#""stop_sequences":["a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a"]"#,
            "at most 16",
        ),
        (r#""system":5"#, "`system` must be a list"),
    ]);
}

#[test]
fn blocks_that_the_model_cannot_read_are_refused_with_the_reason() {
    let user = |block: &str| format!(r#"[{{"role":"user","content":[{block}]}}]"#);
    for (block, expected) in [
        (
            r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":""}}"#,
            "`messages[0].content[0]` is of type `image`, which is not supported: this server reads text only",
        ),
        (r#"{"type":"document","source":{}}"#, "reads text only"),
        (
            r#"{"type":"redacted_thinking","data":"x"}"#,
            "only the server that wrote it can read it",
        ),
        (r#"{"type":"server_tool_use"}"#, "blocks are of type"),
        (
            r#"{"text":"a"}"#,
            "`messages[0].content[0].type` is missing.",
        ),
        (
            r#"{"type":"text"}"#,
            "`messages[0].content[0].text` is missing.",
        ),
        (
            r#"{"type":"text","text":"a","citations":[{}]}"#,
            "cites nothing",
        ),
        (r#""a""#, "`messages[0].content[0]` must be an object"),
        (
            r#"{"type":"tool_result","tool_use_id":"t","content":[{"type":"image"}]}"#,
            "`messages[0].content[0].content[0]` is of type `image`",
        ),
        (
            r#"{"type":"tool_use","id":"t","name":"f","input":{}}"#,
            "only the assistant",
        ),
        (
            r#"{"type":"thinking","thinking":"t"}"#,
            "only the assistant",
        ),
    ] {
        let message = refusal(with_messages(&user(block), ""));
        assert!(message.contains(expected), "{block}: {message}");
    }
    check_messages(&[
        (
            r#"[{"role":"tool","content":"a"}]"#,
            "`messages[0].role` must be",
        ),
        (
            r#"[{"role":"user","content":[]}]"#,
            "`messages[0].content` must hold at least one block.",
        ),
        (
            r#"[{"role":"user","content":{}}]"#,
            "`messages[0].content` must be a list",
        ),
        (
            r#"[{"role":"assistant","content":[{"type":"tool_result","tool_use_id":"t"}]},{"role":"user","content":"a"}]"#,
            "the user's to send",
        ),
        (
            r#"[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":"{}"}]}]"#,
            "`messages[0].content[0].input` must be an object",
        ),
        (
            r#"[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]}]"#,
            "`messages` ends with a call",
        ),
    ]);
    check(&[(
        r#""system":[{"type":"image"}]"#,
        "`system[0]` is of type `image`",
    )]);
}

#[test]
fn tools_that_cannot_be_offered_are_refused() {
    check(&[
        (
            r#""tools":[{"type":"web_search_20260209","name":"web_search"}]"#,
            "`tools[0].type` is not supported",
        ),
        (
            r#""tools":[{"name":"f"}]"#,
            "`tools[0].input_schema` is missing.",
        ),
        (
            r#""tools":[{"name":"","input_schema":{}}]"#,
            "`tools[0].name` must be a name",
        ),
        (
            r#""tools":[{"name":"f","input_schema":[]}]"#,
            "`tools[0].input_schema` must be an object",
        ),
        (
            r#""tools":[{"name":"f","input_schema":{},"strict":true}]"#,
            "`tools[0].strict` is not supported",
        ),
        (
            r#""tools":[{"name":"f","input_schema":{}},{"name":"f","input_schema":{}}]"#,
            "`tools[1].name` is the name of another tool",
        ),
        (r#""tool_choice":{"type":"any"}"#, "`tools` offers none"),
        (
            r#""tool_choice":{"type":"tool","name":"f"}"#,
            "no tool that `tools` offers",
        ),
        (
            r#""tool_choice":{"type":"tool"}"#,
            "`tool_choice.name` is missing.",
        ),
        (r#""tool_choice":"auto""#, "`tool_choice` must be an object"),
        (
            r#""tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"any"},"output_config":{"format":{"type":"json_schema","schema":{}}}"#,
            "A forced call cannot have a form",
        ),
    ]);
}

#[test]
fn a_name_of_any_length_is_shortened_in_messages() {
    let long = "x".repeat(100_000);
    assert!(refusal(ask(&format!(r#""{long}":1"#))).len() < 500);
    let body = format!(
        r#"{{"model":"{long}","max_tokens":1,"messages":[{{"role":"user","content":"a"}}]}}"#
    );
    assert!(respond(send(body)).body.len() < 500);
    assert!(
        matches!(send(ask(&format!(r#""system":[{{"type":"{long}"}}]"#))), Outcome::Respond(response) if response.body.len() < 500)
    );
}
