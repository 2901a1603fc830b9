//! What requests become in the engine's terms.

use plugin_sdk::{Constraint, InferenceRequest, Message, Sampling, Tool, ToolCall, ToolChoice};

use crate::support::*;

fn request(fields: &str) -> InferenceRequest {
    accept(RESPONSES, response(fields)).0
}

/// The turns that an `input`, this JSON text, becomes.
fn messages(input: &str) -> Vec<Message> {
    let (request, _) = accept(RESPONSES, format!(r#"{{"model":"tiny","input":{input}}}"#));
    conversation(&request).messages.clone()
}

fn assistant() -> Message {
    Message {
        content: None,
        ..Message::new("assistant", "")
    }
}

fn tool_call(id: &str) -> ToolCall {
    ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
        arguments: "{}".to_owned(),
    }
}

#[test]
fn a_plain_request_leaves_everything_to_the_server() {
    let request = request("");
    assert_eq!(request.sampling, Sampling::default());
    assert_eq!((request.n, request.stream, request.priority), (1, false, 0));
    let conversation = conversation(&request);
    assert_eq!(conversation.messages, [Message::new("user", "hi")]);
    assert_eq!(conversation.tool_choice, ToolChoice::None);
    assert!(conversation.add_generation_prompt && !conversation.continue_final_message);
    assert_eq!(conversation.template_variables, None);
}

#[test]
fn sampling_has_openais_fields_and_the_ones_that_vllm_adds() {
    let request = request(concat!(
        r#""max_output_tokens":20,"min_tokens":3,"temperature":0.5,"top_p":0.25,"top_k":40,"seed":7,"stop":["a"],"#,
        r#""include":["message.output_text.logprobs"],"top_logprobs":4,"priority":-5,"cache_salt":"t","stream":true,"#,
        r#""stream_options":{"include_obfuscation":false}"#,
    ));
    let expected = Sampling {
        max_tokens: Some(20),
        min_tokens: 3,
        temperature: Some(0.5),
        top_p: Some(0.25),
        top_k: Some(40),
        seed: Some(7),
        stop: vec!["a".to_owned()],
        logprobs: Some(4),
        ..Sampling::default()
    };
    assert_eq!(request.sampling, expected);
    assert_eq!((request.priority, request.stream), (-5, true));
    assert_eq!(request.cache_salt.as_deref(), Some("t"));
}

#[test]
fn log_probabilities_come_when_they_are_included() {
    let logprobs = |fields: &str| request(fields).sampling.logprobs;
    let include = r#""include":["reasoning.encrypted_content","message.output_text.logprobs"]"#;
    assert_eq!(logprobs(include), Some(0));
    assert_eq!(logprobs(r#""include":["file_search_call.results"]"#), None);
    assert_eq!(logprobs(r#""include":[],"top_logprobs":0"#), None);
}

#[test]
fn instructions_are_the_first_system_message() {
    let body = r#"{"model":"tiny","instructions":"Be brief.","input":[{"role":"developer","content":"In French."},
        {"role":"user","content":"hi"}]}"#;
    let (request, _) = accept(RESPONSES, body);
    let expected = [
        Message::new("system", "Be brief."),
        Message::new("developer", "In French."),
        Message::new("user", "hi"),
    ];
    assert_eq!(conversation(&request).messages, expected);
}

#[test]
fn messages_are_read_in_all_their_forms_and_parts_become_lines() {
    let input = r#"[{"role":"system","content":"s"},
        {"type":"message","role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]},
        {"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[
            {"type":"output_text","text":"c","annotations":[],"logprobs":[]},{"type":"refusal","refusal":"no"}]},
        {"role":"assistant","content":"d"},{"role":"user","content":""}]"#;
    let expected = [
        Message::new("system", "s"),
        Message::new("user", "a\nb"),
        Message::new("assistant", "c\nno"),
        Message::new("assistant", "d"),
        Message::new("user", ""),
    ];
    assert_eq!(messages(input), expected);
}

#[test]
fn what_the_model_thought_said_and_called_is_one_turn() {
    let input = r#"[{"role":"user","content":"hi"},
        {"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"Hm."}]},
        {"type":"message","role":"assistant","content":"Let me see."},
        {"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{}","status":"completed"},
        {"type":"function_call","call_id":"c2","name":"f","arguments":"{}"},
        {"type":"function_call_output","call_id":"c1","output":"1"},
        {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"2"},{"type":"input_text","text":"3"}]},
        {"type":"function_call","call_id":"c3","name":"f","arguments":"{}"}]"#;
    let output = |id: &str, text: &str| Message {
        tool_call_id: Some(id.to_owned()),
        ..Message::new("tool", text)
    };
    let expected = [
        Message::new("user", "hi"),
        Message {
            reasoning: Some("Hm.".to_owned()),
            tool_calls: vec![tool_call("c1"), tool_call("c2")],
            ..Message::new("assistant", "Let me see.")
        },
        output("c1", "1"),
        output("c2", "2\n3"),
        Message {
            tool_calls: vec![tool_call("c3")],
            ..assistant()
        },
    ];
    assert_eq!(messages(input), expected);
}

#[test]
fn a_turn_ends_where_the_model_thinks_or_speaks_anew() {
    let input = r#"[{"role":"assistant","content":"a"},{"role":"assistant","content":"b"},
        {"type":"reasoning","id":"r","summary":[{"type":"summary_text","text":"x"}]},
        {"type":"reasoning","id":"r","summary":[{"type":"summary_text","text":"y"}]},
        {"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
        {"type":"reasoning","id":"r","content":[{"type":"reasoning_text","text":"z"}],"summary":[{"type":"summary_text","text":"-"}]},
        {"role":"user","content":"u"}]"#;
    let expected = [
        Message::new("assistant", "a"),
        Message::new("assistant", "b"),
        Message {
            reasoning: Some("x\ny".to_owned()),
            tool_calls: vec![tool_call("c")],
            ..assistant()
        },
        Message {
            reasoning: Some("z".to_owned()),
            ..Message::new("assistant", "")
        },
        Message::new("user", "u"),
    ];
    assert_eq!(messages(input), expected);
}

#[test]
fn encrypted_reasoning_says_nothing() {
    let input = r#"[{"type":"reasoning","id":"r","summary":[],"encrypted_content":"gAAA"},{"role":"user","content":"u"}]"#;
    assert_eq!(messages(input), [Message::new("user", "u")]);
}

#[test]
fn tools_take_the_shape_that_templates_expect_and_keep_their_schemas_as_written() {
    let request = request(
        r#""tools":[{"type":"function","strict":true,"parameters":{"z": 1.50,"a":1e2},"description":"d","name":"f"},
            {"type":"function","name":"g","parameters":null}]"#,
    );
    let tool = |name: &str, definition: &str| Tool {
        name: name.to_owned(),
        definition: definition.to_owned(),
    };
    let expected = [
        tool(
            "f",
            r#"{"type":"function","function":{"name":"f","description":"d","parameters":{"z": 1.50,"a":1e2},"strict":true}}"#,
        ),
        tool("g", r#"{"type":"function","function":{"name":"g"}}"#),
    ];
    let conversation = conversation(&request);
    assert_eq!(conversation.tools, expected);
    assert_eq!(conversation.tool_choice, ToolChoice::Auto);
}

#[test]
fn every_tool_choice_is_understood() {
    let choice = |choice: &str| {
        let tools = r#"[{"type":"function","name":"f"},{"type":"function","name":"g"}]"#;
        let request = request(&format!(r#""tools":{tools},"tool_choice":{choice}"#));
        let conversation = conversation(&request);
        let names: Vec<_> = conversation
            .tools
            .iter()
            .map(|tool| tool.name.clone())
            .collect();
        (conversation.tool_choice.clone(), names.concat())
    };
    let allowed = |mode: &str, tools: &str| {
        choice(&format!(
            r#"{{"type":"allowed_tools","mode":"{mode}","tools":[{tools}]}}"#
        ))
    };
    let g = r#"{"type":"function","name":"g"}"#;
    assert_eq!(choice(r#""auto""#), (ToolChoice::Auto, "fg".to_owned()));
    assert_eq!(choice(r#""none""#), (ToolChoice::None, "fg".to_owned()));
    assert_eq!(
        choice(r#""required""#),
        (ToolChoice::Required, "fg".to_owned())
    );
    assert_eq!(
        choice(g),
        (ToolChoice::Named("g".to_owned()), "fg".to_owned())
    );
    // What is not allowed is not offered.
    assert_eq!(allowed("auto", g), (ToolChoice::Auto, "g".to_owned()));
    assert_eq!(
        allowed("required", g),
        (ToolChoice::Required, "g".to_owned())
    );
    assert_eq!(allowed("auto", ""), (ToolChoice::None, String::new()));
}

#[test]
fn every_text_format_is_understood() {
    let form = |format: &str| {
        request(&format!(
            r#""text":{{"format":{format},"verbosity":"low"}}"#
        ))
        .sampling
        .constraint
    };
    assert_eq!(form("null"), None);
    assert_eq!(form(r#"{"type":"text"}"#), None);
    assert_eq!(
        form(r#"{"type":"json_object"}"#),
        Some(Constraint::JsonObject)
    );
    let schema = r#"{"type":"json_schema","name":"n","strict":true,"schema":{"z": 1.50}}"#;
    assert_eq!(
        form(schema),
        Some(Constraint::JsonSchema(r#"{"z": 1.50}"#.to_owned()))
    );
    let regex = request(r#""text":{"format":{"type":"text"}},"structured_outputs":{"regex":"a"}"#);
    assert_eq!(
        regex.sampling.constraint,
        Some(Constraint::Regex("a".to_owned()))
    );
}

#[test]
fn the_effort_joins_the_templates_variables() {
    let variables = |fields: &str| conversation(&request(fields)).template_variables.clone();
    let effort = r#""reasoning":{"effort":"low","summary":"auto"}"#;
    assert_eq!(
        variables(effort).as_deref(),
        Some(r#"{"reasoning_effort":"low"}"#)
    );
    let both = format!(r#"{effort},"chat_template_kwargs":{{"enable_thinking":false}}"#);
    assert_eq!(
        variables(&both).as_deref(),
        Some(r#"{"enable_thinking":false,"reasoning_effort":"low"}"#)
    );
    assert_eq!(variables(r#""reasoning":{"summary":null}"#), None);
}

#[test]
fn hints_harmless_values_and_unknown_fields_change_nothing() {
    let plain = request("");
    for fields in [
        r#""store":true,"metadata":{"a":"b"},"user":"u","safety_identifier":"s","service_tier":"auto""#,
        r#""prompt_cache_key":"k","prompt_cache_retention":"24h","prompt_cache_options":{"mode":"implicit"}"#,
        r#""background":false,"previous_response_id":null,"conversation":null,"prompt":null,"max_tool_calls":null"#,
        r#""truncation":"disabled","context_management":[],"include":null,"tools":[],"tool_choice":"auto""#,
        r#""truncation":"auto","parallel_tool_calls":true,"text":{},"reasoning":{},"n":1,"logprobs":false"#,
        r#""no_such_field":[1],"stream":false,"stream_options":null,"instructions":null,"top_logprobs":null"#,
    ] {
        assert_eq!(request(fields), plain, "{fields}");
    }
}
