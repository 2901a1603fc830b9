//! What a good request comes to in the engine's terms.

use plugin_sdk::{
    Constraint, Conversation, InferenceRequest, Input, Message, Sampling, ToolCall, ToolChoice,
};

use crate::support::*;

fn messages(messages: &str) -> Vec<Message> {
    conversation(with_messages(messages, "")).messages
}

fn tool_call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    }
}

#[test]
fn a_short_request_leaves_everything_to_the_server() {
    let (request, _) = accept(ask(""));
    let expected = InferenceRequest {
        sampling: Sampling {
            max_tokens: Some(64),
            ..Sampling::default()
        },
        ..InferenceRequest::new(
            "tiny",
            vec![Input::Chat(Conversation {
                tool_choice: ToolChoice::None,
                ..Conversation::new(vec![Message::new("user", "hi")])
            })],
        )
    };
    assert_eq!(request, expected);
}

#[test]
fn every_field_of_sampling_is_understood() {
    let fields = r#""temperature":0.5,"top_p":0.9,"top_k":20,"stop_sequences":["a","\n\n"],
        "output_config":{"format":{"type":"json_schema","schema":{"type":"object", "z":1.50}}}"#;
    let expected = Sampling {
        max_tokens: Some(64),
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(20),
        stop: vec!["a".to_owned(), "\n\n".to_owned()],
        constraint: Some(Constraint::JsonSchema(
            r#"{"type":"object", "z":1.50}"#.to_owned(),
        )),
        ..Sampling::default()
    };
    assert_eq!(accept(ask(fields)).0.sampling, expected);
    let top_p = accept(ask(r#""top_p":0"#)).0.sampling.top_p;
    assert!(top_p.is_some_and(|top_p| top_p > 0.0), "{top_p:?}");
}

#[test]
fn hints_that_change_no_answer_are_accepted() {
    let (request, _) = accept(ask(
        r#""metadata":{"user_id":"u-1"},"service_tier":"auto","cache_control":{"type":"ephemeral"},
        "system":null,"container":null,"stream":false"#,
    ));
    assert_eq!(request, accept(ask("")).0);
}

#[test]
fn a_system_prompt_is_the_first_message_whether_text_or_blocks() {
    let blocks = r#"[{"type":"text","text":"Be brief."},{"type":"text","text":"Be kind.","cache_control":{"type":"ephemeral","ttl":"1h"}}]"#;
    for (system, text) in [
        (r#""Be brief.""#, "Be brief."),
        (blocks, "Be brief.\nBe kind."),
    ] {
        assert_eq!(
            conversation(ask(&format!(r#""system":{system}"#))).messages,
            [Message::new("system", text), Message::new("user", "hi")]
        );
    }
    assert_eq!(
        conversation(ask(r#""system":"""#)).messages,
        [Message::new("user", "hi")]
    );
}

#[test]
fn a_conversation_keeps_its_calls_results_and_thoughts() {
    let given = r#"[
        {"role":"user","content":"weather?"},
        {"role":"assistant","content":[
            {"type":"thinking","thinking":"Look.","signature":""},
            {"type":"text","text":"I look.","citations":null},
            {"type":"tool_use","id":"t1","name":"weather","input":{"city": "Rome"},"caller":{"type":"direct"}},
            {"type":"tool_use","id":"t2","name":"time","input":{}}]},
        {"role":"user","content":[
            {"type":"tool_result","tool_use_id":"t1","content":"sunny","is_error":false},
            {"type":"tool_result","tool_use_id":"t2","content":[{"type":"text","text":"no"},{"type":"text","text":"clock"}],"is_error":true},
            {"type":"text","text":"And"},
            {"type":"text","text":"now?"}]},
        {"role":"system","content":"Be brief."},
        {"role":"assistant","content":[{"type":"tool_use","id":"t3","name":"time","input":{}}]},
        {"role":"user","content":[{"type":"text","text":"a"},{"type":"tool_result","tool_use_id":"t3"},{"type":"text","text":"b"}]}
    ]"#;
    let result = |id: &str, text: &str| Message {
        tool_call_id: Some(id.to_owned()),
        ..Message::new("tool", text)
    };
    let expected = [
        Message::new("user", "weather?"),
        Message {
            reasoning: Some("Look.".to_owned()),
            tool_calls: vec![
                tool_call("t1", "weather", r#"{"city": "Rome"}"#),
                tool_call("t2", "time", "{}"),
            ],
            ..Message::new("assistant", "I look.")
        },
        result("t1", "sunny"),
        result("t2", "Error: no\nclock"),
        Message::new("user", "And\nnow?"),
        Message::new("system", "Be brief."),
        Message {
            content: None,
            tool_calls: vec![tool_call("t3", "time", "{}")],
            ..Message::new("assistant", "")
        },
        Message::new("user", "a"),
        result("t3", ""),
        Message::new("user", "b"),
    ];
    assert_eq!(messages(given), expected);
}

#[test]
fn turns_of_one_role_that_follow_each_other_are_one_turn() {
    let given = r#"[{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"b"}]},
        {"role":"assistant","content":"c"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"r"}]},{"role":"user","content":"d"}]"#;
    let expected = [
        Message::new("user", "a\nb"),
        Message {
            tool_calls: vec![tool_call("t", "f", "{}")],
            ..Message::new("assistant", "c")
        },
        Message {
            tool_call_id: Some("t".to_owned()),
            ..Message::new("tool", "r")
        },
        Message::new("user", "d"),
    ];
    assert_eq!(messages(given), expected);
}

#[test]
fn an_assistant_s_last_turn_is_one_that_it_goes_on_with() {
    let given =
        r#"[{"role":"user","content":"Sun in Greek?"},{"role":"assistant","content":"It is ("}]"#;
    let conversation = conversation(with_messages(given, ""));
    assert!(conversation.continue_final_message && !conversation.add_generation_prompt);
    assert_eq!(
        conversation.messages[1],
        Message::new("assistant", "It is (")
    );
}

#[test]
fn tools_come_in_openai_s_shape_with_their_schema_as_it_was_written() {
    let tools = r#""tools":[
        {"name":"weather","description":"The \"weather\".","input_schema":{"type":"object", "z":1.50,"a":1e2},"cache_control":{"type":"ephemeral"}},
        {"type":"custom","name":"time","input_schema":{},"strict":false,"allowed_callers":[ "direct" ]}]"#;
    let conversation = conversation(ask(tools));
    let definitions: Vec<_> = conversation
        .tools
        .iter()
        .map(|tool| (tool.name.as_str(), tool.definition.as_str()))
        .collect();
    assert_eq!(
        definitions,
        [
            (
                "weather",
                r#"{"type":"function","function":{"name":"weather","description":"The \"weather\".","parameters":{"type":"object", "z":1.50,"a":1e2}}}"#
            ),
            (
                "time",
                r#"{"type":"function","function":{"name":"time","parameters":{}}}"#
            ),
        ]
    );
    assert_eq!(conversation.tool_choice, ToolChoice::Auto);
}

#[test]
fn every_tool_choice_is_understood() {
    let choice = |choice: &str| {
        let tools = r#""tools":[{"name":"f","input_schema":{}}]"#;
        conversation(ask(&format!(r#"{tools},"tool_choice":{choice}"#))).tool_choice
    };
    assert_eq!(choice(r#"{"type":"auto"}"#), ToolChoice::Auto);
    assert_eq!(choice(r#"{"type":"any"}"#), ToolChoice::Required);
    assert_eq!(
        choice(r#"{"type":"tool","name":"f"}"#),
        ToolChoice::Named("f".to_owned())
    );
    assert_eq!(choice(r#"{"type":"none"}"#), ToolChoice::None);
}

#[test]
fn thinking_and_effort_become_variables_of_the_template() {
    let variables = |fields: &str| {
        let body = format!(
            r#"{{"model":"tiny","max_tokens":2000,"messages":[{{"role":"user","content":"hi"}}],{fields}}}"#
        );
        conversation(body).template_variables
    };
    for (fields, expected) in [
        (
            r#""thinking":{"type":"enabled","budget_tokens":1024,"display":"summarized"}"#,
            Some(r#"{"enable_thinking":true}"#),
        ),
        (
            r#""thinking":{"type":"disabled"}"#,
            Some(r#"{"enable_thinking":false}"#),
        ),
        (r#""thinking":{"type":"adaptive"}"#, None),
        (r#""thinking":null"#, None),
        (
            r#""thinking":{"type":"disabled"},"output_config":{"effort":"low"}"#,
            Some(r#"{"enable_thinking":false,"reasoning_effort":"low"}"#),
        ),
    ] {
        assert_eq!(variables(fields).as_deref(), expected, "{fields}");
    }
}
