//! What is refused, and which field is named.

use serde_json::Value;

use crate::support::*;

/// Checks that a body is refused with 400: the field and the code that are named, and the message.
fn check_body(body: &str, param: &str, code: Option<&str>, message: &str) {
    let response = respond("POST", RESPONSES, body);
    let error: Value = serde_json::from_slice(&response.body).unwrap();
    let error = &error["error"];
    assert_eq!(
        (
            response.status,
            error["type"].as_str(),
            error["param"].as_str(),
            error["code"].as_str(),
            error["message"].as_str(),
        ),
        (
            400,
            Some("invalid_request_error"),
            Some(param),
            code,
            Some(message)
        ),
        "{body}"
    );
}

fn check(fields: &str, param: &str, message: &str) {
    check_body(&response(fields), param, None, message);
}

fn check_unsupported(fields: &str, param: &str, instead: &str) {
    let message = format!("`{param}` is not supported with this value: {instead}.");
    check_body(
        &response(fields),
        param,
        Some("unsupported_parameter"),
        &message,
    );
}

/// The same of an item at `input[0]`.
fn check_item(item: &str, param: &str, code: Option<&str>, message: &str) {
    let body = format!(r#"{{"model":"tiny","input":[{item}]}}"#);
    check_body(&body, param, code, message);
}

#[test]
fn what_would_need_a_memory_is_refused() {
    let stateless = "nothing is stored here; send the whole conversation in `input`";
    check_unsupported(
        r#""previous_response_id":"resp_1""#,
        "previous_response_id",
        stateless,
    );
    check_unsupported(r#""conversation":{"id":"c"}"#, "conversation", stateless);
    check_unsupported(
        r#""prompt":{"id":"p"}"#,
        "prompt",
        "no prompts are stored here; use `instructions` and `input`",
    );
    check_unsupported(
        r#""background":true"#,
        "background",
        "answers are made while the client waits; use `stream`",
    );
    check_unsupported(
        r#""context_management":[{"type":"compaction"}]"#,
        "context_management",
        "conversations are not shortened; send a shorter one",
    );
}

#[test]
fn what_nobody_here_does_is_refused() {
    check_unsupported(
        r#""max_tool_calls":3"#,
        "max_tool_calls",
        "it limits calls of built-in tools, and there are none here",
    );
    check_unsupported(
        r#""moderation":{"model":"m"}"#,
        "moderation",
        "answers are not moderated; leave it out",
    );
    check_unsupported(
        r#""include":["message.output_text.logprobs","everything"]"#,
        "include[1]",
        "nothing of that name can be included",
    );
    check_unsupported(
        r#""guided_json":{}"#,
        "guided_json",
        "it is the old name of a member of `structured_outputs`; use that",
    );
}

#[test]
fn chats_names_are_refused_with_the_name_to_use() {
    for (fields, param, instead) in [
        (r#""messages":[]"#, "messages", "it is chat's; use `input`"),
        (r#""max_tokens":5"#, "max_tokens", "use `max_output_tokens`"),
        (
            r#""max_completion_tokens":5"#,
            "max_completion_tokens",
            "use `max_output_tokens`",
        ),
        (
            r#""response_format":{"type":"text"}"#,
            "response_format",
            "it is chat's; use `text.format`",
        ),
        (
            r#""reasoning_effort":"low""#,
            "reasoning_effort",
            "it is chat's; use `reasoning.effort`",
        ),
        (
            r#""logprobs":true"#,
            "logprobs",
            r#"it is chat's; use `include`: ["message.output_text.logprobs"]"#,
        ),
        (
            r#""n":2"#,
            "n",
            "a response is one answer; ask again for another",
        ),
    ] {
        check_unsupported(fields, param, instead);
    }
}

#[test]
fn a_request_says_which_model_and_what_to_answer() {
    check_body(r#"{"input":"hi"}"#, "model", None, "`model` is missing.");
    check_body(r#"{"model":"tiny"}"#, "input", None, "`input` is missing.");
    check_body(
        r#"{"model":"tiny","input":7}"#,
        "input",
        None,
        "`input` must be a string or a list of items, not 7.",
    );
    for items in ["", r#"{"type":"reasoning","id":"r","summary":[]}"#] {
        check_body(
            &format!(r#"{{"model":"tiny","input":[{items}]}}"#),
            "input",
            None,
            "`input` must hold at least one message.",
        );
    }
}

#[test]
fn items_that_cannot_be_read_are_refused_by_their_type() {
    let unsupported = Some("unsupported_parameter");
    let message = |why: &str| format!("`input[0].type` is not supported with this value: {why}.");
    let stored = message("no items are stored here; send the item itself");
    for item in [
        r#"{"type":"item_reference","id":"msg_1"}"#,
        r#"{"id":"msg_1"}"#,
    ] {
        check_item(item, "input[0].type", unsupported, &stored);
    }
    let others = message("only messages, reasoning, function calls and their outputs are read");
    for item in [
        r#"{"type":"web_search_call","id":"ws_1"}"#,
        r#"{"type":"custom_tool_call_output","call_id":"c","output":"o"}"#,
    ] {
        check_item(item, "input[0].type", unsupported, &others);
    }
}

#[test]
fn items_must_have_what_their_type_needs() {
    for (item, param, message) in [
        ("7", "input[0]", "`input[0]` must be an object, not 7."),
        ("{}", "input[0].role", "`input[0].role` is missing."),
        (
            r#"{"role":"tool","content":"x"}"#,
            "input[0].role",
            "`input[0].role` must be `user`, `assistant`, `system` or `developer`, not \"tool\".",
        ),
        (
            r#"{"role":"user"}"#,
            "input[0].content",
            "`input[0].content` is missing.",
        ),
        (
            r#"{"role":"user","content":{}}"#,
            "input[0].content",
            "`input[0].content` must be a string or a list of parts, not {}.",
        ),
        (
            r#"{"role":"user","content":[{"type":"input_text"}]}"#,
            "input[0].content[0].text",
            "`input[0].content[0].text` is missing.",
        ),
        (
            r#"{"type":"function_call","name":"f","arguments":"{}"}"#,
            "input[0].call_id",
            "`input[0].call_id` is missing.",
        ),
        (
            r#"{"type":"function_call_output","call_id":"c"}"#,
            "input[0].output",
            "`input[0].output` is missing.",
        ),
    ] {
        check_item(item, param, None, message);
    }
}

#[test]
fn parts_that_are_no_text_are_refused_by_name() {
    for (kind, why) in [
        (
            "input_image",
            "this server reads text only, and no `input_image`",
        ),
        (
            "input_audio",
            "this server reads text only, and no `input_audio`",
        ),
        (
            "input_file",
            "no `input_file` is read; send the file's text as `input_text`",
        ),
        (
            "text",
            "this server reads only parts of type `input_text` and `output_text`",
        ),
    ] {
        for (item, param) in [
            (
                r#"{"role":"user","content":[{"type":"input_text","text":"a"},PART]}"#,
                "input[0].content[1]",
            ),
            (
                r#"{"type":"function_call_output","call_id":"c","output":[PART]}"#,
                "input[0].output[0]",
            ),
        ] {
            let item = item.replace("PART", &format!(r#"{{"type":"{kind}"}}"#));
            let message = format!("`{param}` is not supported with this value: {why}.");
            check_item(&item, param, Some("unsupported_parameter"), &message);
        }
    }
}

#[test]
fn tools_must_be_functions_with_names() {
    let only = "only tools of type `function` can be called";
    check_unsupported(r#""tools":[{"type":"web_search"}]"#, "tools[0].type", only);
    check(
        r#""tools":[{"type":"function","function":{"name":"f"}}]"#,
        "tools[0].name",
        "`tools[0].name` is missing.",
    );
    check(
        r#""tools":[{"type":"function","name":""}]"#,
        "tools[0].name",
        "`tools[0].name` must not be empty.",
    );
    check(
        r#""tools":[{"type":"function","name":"f","parameters":[]}]"#,
        "tools[0].parameters",
        "`tools[0].parameters` must be an object, not [].",
    );
}

#[test]
fn a_tool_choice_must_be_met_by_the_tools() {
    let unknown = "`tool_choice` names a function that `tools` does not offer.";
    let none = "`tool_choice` requires a call, but `tools` offers none.";
    let tools = r#""tools":[{"type":"function","name":"f"}]"#;
    for (fields, message) in [
        (r#""tool_choice":"required""#.to_owned(), none),
        (
            format!(r#"{tools},"tool_choice":{{"type":"function","name":"g"}}"#),
            unknown,
        ),
        (
            format!(
                r#"{tools},"tool_choice":{{"type":"allowed_tools","mode":"auto","tools":[{{"type":"function","name":"g"}}]}}"#
            ),
            unknown,
        ),
        (
            format!(
                r#"{tools},"tool_choice":{{"type":"allowed_tools","mode":"required","tools":[]}}"#
            ),
            none,
        ),
        (
            format!(
                r#"{tools},"tool_choice":"required","text":{{"format":{{"type":"json_object"}}}}"#
            ),
            "A forced call cannot have a form: leave out `tool_choice` or `text.format` or `structured_outputs`.",
        ),
    ] {
        check(&fields, "tool_choice", message);
    }
    check(
        r#""tool_choice":{"type":"file_search"}"#,
        "tool_choice",
        concat!(
            r#"`tool_choice` must be "auto", "none", "required", {"type":"function","name":…} or "#,
            r#"{"type":"allowed_tools","mode":…,"tools":…}, not {"type":"file_search"}."#,
        ),
    );
    check_unsupported(
        r#""tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"mcp"}]}"#,
        "tool_choice.tools[0].type",
        "only tools of type `function` can be called",
    );
}

#[test]
fn values_out_of_range_are_refused() {
    for (fields, param, message) in [
        (
            r#""max_output_tokens":0"#,
            "max_output_tokens",
            "`max_output_tokens` must be an integer from 1 to 4294967295, not 0.",
        ),
        (
            r#""max_output_tokens":2,"min_tokens":3"#,
            "min_tokens",
            "`min_tokens` is 3, more than the 2 tokens that may be generated.",
        ),
        (
            r#""top_logprobs":21"#,
            "top_logprobs",
            "`top_logprobs` must be an integer from 0 to 20, not 21.",
        ),
        (
            r#""top_logprobs":1"#,
            "top_logprobs",
            r#"`top_logprobs` is only allowed with `include`: ["message.output_text.logprobs"]."#,
        ),
        (
            r#""text":{"verbosity":"loud"}"#,
            "text.verbosity",
            r#"`text.verbosity` must be "low" or "medium" or "high", not "loud"."#,
        ),
        (
            r#""reasoning":{"summary":"long"}"#,
            "reasoning.summary",
            r#"`reasoning.summary` must be "auto" or "concise" or "detailed", not "long"."#,
        ),
        (
            r#""text":{"format":{"type":"json_schema","name":"n"}}"#,
            "text.format.schema",
            "`text.format.schema` is missing.",
        ),
        (
            r#""text":{"format":{"type":"json_object"}},"structured_outputs":{"regex":"a"}"#,
            "structured_outputs",
            "`structured_outputs` and `text.format` exclude each other; send one of them.",
        ),
        (
            r#""metadata":{"a":1}"#,
            "metadata.a",
            "`metadata.a` must be a string, not 1.",
        ),
        (
            r#""truncation":"middle""#,
            "truncation",
            r#"`truncation` must be "disabled" or "auto", not "middle"."#,
        ),
    ] {
        check(fields, param, message);
    }
}

#[test]
fn truncation_is_refused_where_there_is_something_to_drop() {
    let message = "`truncation` is not supported with this value: items are never dropped; send fewer, and leave it out.";
    check_body(
        r#"{"model":"tiny","truncation":"auto","input":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#,
        "truncation",
        Some("unsupported_parameter"),
        message,
    );
}

#[test]
fn what_the_host_refuses_is_blamed_on_the_field_that_the_client_knows() {
    for (fields, given, param) in [
        ("", "messages", "input"),
        ("", "max_tokens", "max_output_tokens"),
        ("", "temperature", "temperature"),
        (
            r#""text":{"format":{"type":"json_object"}}"#,
            "constraint",
            "text.format",
        ),
        (
            r#""structured_outputs":{"regex":"a"}"#,
            "constraint",
            "structured_outputs",
        ),
    ] {
        let (_, answer) = accept(RESPONSES, response(fields));
        let error = plugin_sdk::ApiError::invalid(given, "No.");
        let text = run_failing(answer, vec![], error);
        assert!(text.contains(&format!(r#""param":"{param}""#)), "{text}");
    }
}
