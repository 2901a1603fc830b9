//! What a client hears when a prompt cannot be written, and that nothing makes the plugin panic.

use std::fs;
use std::path::Path;

use chat_template::JinjaTemplate;
use plugin_sdk::{
    ApiError, ChatTemplate, Constraint, Conversation, Message, ModelTemplate, Tool, ToolCall,
    ToolChoice,
};

fn model(template: &str) -> ModelTemplate {
    ModelTemplate {
        model: "m".to_owned(),
        chat_template: Some(template.to_owned()),
        bos_token: None,
        eos_token: None,
        now: 0,
    }
}

fn hello() -> Conversation {
    Conversation::new(vec![Message::new("user", "hi")])
}

fn with_tool(definition: &str) -> Conversation {
    Conversation {
        tools: vec![Tool {
            name: "f".to_owned(),
            definition: definition.to_owned(),
        }],
        ..hello()
    }
}

fn render(template: &str, conversation: &Conversation) -> Result<String, ApiError> {
    JinjaTemplate::render(&model(template), conversation).map(|prompt| prompt.text)
}

fn failure(template: &str, conversation: &Conversation) -> ApiError {
    render(template, conversation).expect_err("this cannot be rendered")
}

#[test]
fn a_refusal_says_what_the_template_says_from_wherever_it_comes() {
    for template in [
        "{{ raise_exception('no ' ~ messages[0].role) }}",
        "{% macro m() %}{{ raise_exception('no user') }}{% endmacro %}{{ m() }}",
        "{% for x in [1] %}{% set y %}{{ raise_exception('no user') }}{% endset %}{% endfor %}",
    ] {
        let error = failure(template, &hello());
        assert_eq!((error.status, error.message.as_str()), (400, "no user"));
        assert_eq!(error.kind, "invalid_request_error");
        assert_eq!(error.param.as_deref(), Some("messages"));
    }
}

#[test]
fn a_template_that_no_conversation_can_use_is_the_servers_fault() {
    for template in [
        "{% if %}",
        "{% for m in messages %}",
        "{{ messages | no_such_filter }}",
        "{{ messages is no_such_test }}",
        "{{ no_such_function() }}",
        "{% include 'other' %}",
        "{% generation %}",
        "{{ 'unfinished",
    ] {
        let error = failure(template, &hello());
        assert_eq!(error.status, 500, "{template}: {}", error.message);
        assert_eq!(error.code.as_deref(), Some("invalid_chat_template"));
        assert!(error.message.contains("`m`"), "{}", error.message);
    }
}

#[test]
fn what_the_template_cannot_write_names_the_line() {
    let error = failure("a\n{{ messages[0].nothing.at_all }}", &hello());
    assert_eq!(error.status, 400);
    assert!(error.message.contains("line 2"), "{}", error.message);
}

#[test]
fn endless_work_ends_in_an_error() {
    for template in [
        "{% for a in range(10000) %}{% for b in range(10000) %}{{ b }}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for a in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{{ 'ab' * 2000000000 }}",
        "{% for a in range(9999) %}{% for b in range(9999) %}{{ messages | tojson }}{% endfor %}{% endfor %}",
    ] {
        let error = failure(template, &hello());
        assert_eq!(error.status, 400, "{template}: {}", error.message);
    }
    let endless = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
    assert_eq!(failure(endless, &hello()).status, 400);
}

#[test]
fn a_conversation_that_fills_a_long_context_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/templates");
    let qwen3 = fs::read_to_string(folder.join("qwen3.jinja")).unwrap();
    for (num_turns, turn_len) in [(2, 1_000_000), (4_000, 500)] {
        let turn = |index: usize| {
            let role = ["user", "assistant"][index % 2];
            Message::new(role, "a".repeat(turn_len))
        };
        let conversation = Conversation::new((0..num_turns).map(turn).collect());
        let prompt = render(&qwen3, &conversation).unwrap();
        assert!(prompt.len() > num_turns * turn_len);
    }
}

#[test]
fn an_empty_conversation_is_refused() {
    assert_eq!(
        failure("x", &Conversation::new(Vec::new()))
            .param
            .as_deref(),
        Some("messages")
    );
}

#[test]
fn variables_must_be_an_object_and_leave_the_conversation_alone() {
    for variables in [
        "",
        "[]",
        "1",
        "{",
        "{\"messages\":[]}",
        "{\"add_generation_prompt\":1}",
    ] {
        let mut conversation = hello();
        conversation.template_variables = Some(variables.to_owned());
        let error = failure("x", &conversation);
        assert_eq!(
            error.param.as_deref(),
            Some("chat_template_kwargs"),
            "{variables}"
        );
        assert_eq!(error.status, 400);
    }
}

#[test]
fn a_tool_that_is_not_json_is_refused_by_number() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for definition in ["", "{", "{\"a\":1}x", "{\"a\":\"\\ud800\"}", &deep] {
        let error = failure("{{ tools | tojson }}", &with_tool(definition));
        assert_eq!(
            (error.status, error.param.as_deref()),
            (400, Some("tools[0]"))
        );
    }
}

#[test]
fn deep_arguments_stay_text() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let mut conversation = hello();
    conversation.messages.push(Message {
        tool_calls: vec![ToolCall {
            id: "1".to_owned(),
            name: "f".to_owned(),
            arguments: deep.clone(),
        }],
        ..Message::new("assistant", "")
    });
    let template = "{{ messages[1].tool_calls[0].function.arguments }}";
    assert_eq!(render(template, &conversation), Ok(deep));
}

#[test]
fn tojson_refuses_what_has_no_json() {
    for template in [
        "{{ undefined_thing | tojson }}",
        "{{ raise_exception | tojson }}",
        "{{ 1 | tojson(indent=1000000000) }}",
        "{{ 1 | tojson(no_such_option=1) }}",
        "{{ 1 | tojson(1, 2, 3, 4, 5) }}",
        "{{ 1 | tojson(separators=(1,)) }}",
        "{{ 1 | tojson(indent=[]) }}",
        "{% set ns = namespace(x=[]) %}{% for a in range(200) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | tojson }}",
    ] {
        let error = failure(template, &hello());
        assert_eq!(error.status, 400, "{template}: {}", error.message);
    }
}

#[test]
fn going_on_and_beginning_anew_exclude_each_other() {
    let mut conversation = hello();
    conversation.continue_final_message = true;
    let error = failure("{{ messages[0].content }}", &conversation);
    assert_eq!(error.param.as_deref(), Some("continue_final_message"));
}

#[test]
fn a_message_that_the_template_drops_cannot_be_continued() {
    let mut conversation = hello();
    conversation.continue_final_message = true;
    conversation.add_generation_prompt = false;
    for template in ["x", "{{ 'content' }}", "{{ messages[0].content[:3] }}"] {
        let error = failure(template, &conversation);
        assert_eq!(error.param.as_deref(), Some("continue_final_message"));
    }
    assert_eq!(
        render("{{ messages[0].content }}.", &conversation),
        Ok("hi".to_owned())
    );
}

#[test]
fn a_call_is_forced_by_beginning_it() {
    let template = "{{ tools | length }}{% if think %}<think>\n{% endif %}{# <tool_call> #}";
    let mut conversation = with_tool(r#"{"type":"function","function":{"name":"f"}}"#);
    conversation.tool_choice = ToolChoice::Required;
    assert_eq!(
        render(template, &conversation).as_deref(),
        Ok("1<tool_call>\n{\"name\": \"")
    );

    conversation.tools[0].name = "a\"b".to_owned();
    conversation.tool_choice = ToolChoice::Named("a\"b".to_owned());
    conversation.template_variables = Some("{\"think\":true}".to_owned());
    assert_eq!(
        render(template, &conversation).as_deref(),
        Ok("1<think>\n\n</think>\n\n<tool_call>\n{\"name\": \"a\\\"b\", \"arguments\":")
    );

    assert!(render("no marks", &conversation).is_ok());
    conversation.add_generation_prompt = false;
    conversation.continue_final_message = true;
    let error = failure("{{ messages[0].content }}<tool_call>", &conversation);
    assert_eq!(error.param.as_deref(), Some("tool_choice"));
}

fn forced(conversation: &Conversation) -> Result<String, ApiError> {
    let rendered = JinjaTemplate::render(&model("<tool_call>"), conversation)?;
    match rendered.constraint {
        Some(Constraint::Lark(grammar)) => Ok(grammar),
        other => panic!("no grammar: {other:?}"),
    }
}

#[test]
fn the_rest_of_a_forced_call_is_held_to_the_tools_parameters_as_their_author_ordered_them() {
    let definition = r#"{"type":"function","function":{"name":"f","parameters": {"type":"object","properties":{"z":{},"a":{}}}}}"#;
    let mut conversation = with_tool(definition);
    conversation.tools.push(Tool {
        name: "g\"".to_owned(),
        definition: r#"{"type":"function","function":{"name":"g\""}}"#.to_owned(),
    });
    let options = r#""x-guidance":{"whitespace_pattern":"\\x20|\\n[\\x20\\t]{0,64}"}"#;
    let of_f = format!(
        r#"arguments_0: %json {{{options},"additionalProperties":false,"type":"object","properties":{{"z":{{}},"a":{{}}}}}}"#
    );
    let of_g = format!(r#"arguments_1: %json {{{options},"type":"object"}}"#);
    let call = r#"call: "f\", \"arguments\": " arguments_0 "}\n</tool_call>" | "g\\\"\", \"arguments\": " arguments_1 "}\n</tool_call>""#;

    conversation.tool_choice = ToolChoice::Required;
    let more = r#"("\n<tool_call>\n{\"name\": \"" call)*"#;
    assert_eq!(
        forced(&conversation),
        Ok(format!("start: call {more}\n{call}\n{of_f}\n{of_g}\n"))
    );
    conversation.parallel_tool_calls = false;
    assert_eq!(
        forced(&conversation),
        Ok(format!("start: call\n{call}\n{of_f}\n{of_g}\n"))
    );
    conversation.tool_choice = ToolChoice::Named("f".to_owned());
    assert_eq!(
        forced(&conversation),
        Ok(format!(
            "start: \" \" arguments_0 \"}}\\n</tool_call>\"\n{of_f}\n"
        ))
    );
    conversation.tool_choice = ToolChoice::Named("h".to_owned());
    assert_eq!(
        forced(&conversation).unwrap_err().param.as_deref(),
        Some("tool_choice")
    );
    conversation.tools[0].definition = "{}".to_owned();
    conversation.tool_choice = ToolChoice::Required;
    assert_eq!(
        forced(&conversation).unwrap_err().param.as_deref(),
        Some("tools[0]")
    );
}

#[test]
fn what_the_model_decides_itself_may_have_any_form() {
    let mut conversation = with_tool("{}");
    for choice in [ToolChoice::Auto, ToolChoice::None] {
        conversation.tool_choice = choice;
        let rendered = JinjaTemplate::render(&model("<tool_call>"), &conversation);
        assert_eq!(rendered.map(|prompt| prompt.constraint), Ok(None));
    }
}

#[test]
fn a_model_without_a_template_is_written_to_in_chatml() {
    let bare = ModelTemplate {
        chat_template: None,
        ..model("")
    };
    assert_eq!(
        JinjaTemplate::render(&bare, &hello())
            .map(|prompt| prompt.text)
            .as_deref(),
        Ok("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")
    );

    let mut conversation = with_tool("{\"type\": \"function\"}");
    conversation
        .messages
        .insert(0, Message::new("developer", "Be brief."));
    conversation.messages.push(Message {
        content: None,
        tool_calls: vec![
            ToolCall {
                id: "1".to_owned(),
                name: "f".to_owned(),
                arguments: "{\"a\":1}".to_owned(),
            },
            ToolCall {
                id: "2".to_owned(),
                name: "g".to_owned(),
                arguments: "oops".to_owned(),
            },
        ],
        ..Message::new("assistant", "")
    });
    conversation.messages.push(Message::new("tool", "done"));
    let prompt = JinjaTemplate::render(&bare, &conversation).unwrap().text;
    let (system, rest) = prompt.split_once("<|im_end|>\n").unwrap();
    assert!(
        system.starts_with("<|im_start|>system\nBe brief.\n\n"),
        "{system}"
    );
    assert!(
        system.contains("<tools>\n{\"type\": \"function\"}\n</tools>"),
        "{system}"
    );
    assert_eq!(
        rest,
        "<|im_start|>user\nhi<|im_end|>\n\
         <|im_start|>assistant\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>\n\
         <tool_call>\n{\"name\": \"g\", \"arguments\": oops}\n</tool_call><|im_end|>\n\
         <|im_start|>user\n<tool_response>\ndone\n</tool_response><|im_end|>\n\
         <|im_start|>assistant\n"
    );
}

/// Broken templates of every kind: each of the golden ones, cut short and with a piece missing.
#[test]
fn no_template_makes_the_plugin_panic() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/templates");
    let mut num_rendered = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let template = fs::read_to_string(entry.unwrap().path()).unwrap();
        let cuts: Vec<usize> = template
            .char_indices()
            .map(|(at, _)| at)
            .step_by(7)
            .collect();
        for window in cuts.windows(3) {
            let [start, _, end] = *window else {
                unreachable!("windows of 3 hold 3");
            };
            for broken in [
                template[..end].to_owned(),
                format!("{}{}", &template[..start], &template[end..]),
            ] {
                num_rendered += usize::from(render(&broken, &hello()).is_ok());
            }
        }
    }
    assert!(num_rendered > 0, "some of them are still templates");
}
