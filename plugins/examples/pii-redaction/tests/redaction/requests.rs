//! Where in a request personal data is looked for, and how it is told of.

use plugin_sdk::{
    Conversation, InferenceRequest, Input, Message, Tool, ToolCall, log::Level, mock,
};

use crate::support::*;

const REFUSE: &str = r#"{"mode":"refuse"}"#;

fn call(arguments: &str) -> Message {
    Message {
        content: None,
        tool_calls: vec![ToolCall {
            id: "call_1".to_owned(),
            name: "send".to_owned(),
            arguments: arguments.to_owned(),
        }],
        ..Message::new("assistant", "")
    }
}

#[test]
fn a_value_has_the_same_placeholder_wherever_it_stands_and_however_it_is_written() {
    let answer = Message {
        reasoning: Some("JOHN@example.com wants +49 30 1234567".to_owned()),
        ..Message::new("assistant", "jane@example.com, john@example.com")
    };
    let result = Message {
        tool_call_id: Some("call_1".to_owned()),
        ..Message::new("tool", "sent to john@example.com")
    };
    let conversation = conversation(chat(vec![
        Message::new("system", "You serve john@example.com."),
        Message::new("user", "0049 30 1234567, not +49 (0)30 1234568"),
        answer,
        call(r#"{"to": "jane@example.com"}"#),
        result,
    ]));
    let texts: Vec<_> = conversation
        .messages
        .iter()
        .flat_map(|message| [&message.reasoning, &message.content])
        .flatten()
        .map(String::as_str)
        .collect();
    assert_eq!(
        texts,
        [
            "You serve [EMAIL_1].",
            "[PHONE_1], not [PHONE_2]",
            "[EMAIL_1] wants [PHONE_1]",
            "[EMAIL_2], [EMAIL_1]",
            "sent to [EMAIL_1]",
        ]
    );
    assert_eq!(
        conversation.messages[3].tool_calls[0].arguments,
        r#"{"to": "[EMAIL_2]"}"#
    );
}

#[test]
fn cards_and_accounts_are_the_same_with_and_without_their_groups() {
    assert_eq!(
        redacted(
            "4111 1111 1111 1111 = 4111111111111111; DE89370400440532013000 = de89 3704 0044 0532 0130 00"
        ),
        "[CARD_1] = [CARD_1]; [IBAN_1] = [IBAN_1]"
    );
}

#[test]
fn arguments_stay_json_and_are_read_without_their_escapes() {
    let given = r#"{"to":"john\u0040example.com", "n": 1.50,"phone": 13812345678, "note":"a\n\"+49 151 12345678\"","z":[]}"#;
    let arguments = conversation(chat(vec![call(given)])).messages[0].tool_calls[0]
        .arguments
        .clone();
    assert_eq!(
        arguments,
        r#"{"to":"[EMAIL_1]", "n": 1.50,"phone": "[PHONE_1]", "note":"a\n\"[PHONE_2]\"","z":[]}"#
    );
}

#[test]
fn results_that_are_json_stay_json_too() {
    let given = r#" [{"mail":"j\u00f6rg@example.com","ip":"10.0.0.5"}] "#;
    let result = Message::new("tool", given);
    let content = conversation(chat(vec![result])).messages[0].content.clone();
    assert_eq!(
        content.as_deref(),
        Some(r#" [{"mail":"[EMAIL_1]","ip":"[IP_1]"}] "#)
    );
}

#[test]
fn what_is_not_quite_json_is_read_as_text() {
    for (text, expected) in [
        (r#"{"to":"john@example.com""#, r#"{"to":"[EMAIL_1]""#),
        (r#"["\ud800 john@example.com"]"#, r#"["\\ud800 [EMAIL_1]"]"#),
        ("[john@example.com]", "[[EMAIL_1]]"),
    ] {
        assert_eq!(redacted(text), expected);
    }
}

#[test]
fn names_tools_and_variables_are_looked_at_as_well() {
    let mut given = Conversation::new(vec![Message {
        name: Some("john@example.com".to_owned()),
        ..Message::new("user", "hi")
    }]);
    given.tools.push(Tool {
        name: "f".to_owned(),
        definition:
            r#"{"type":"function","function":{"name":"f","description":"of john@example.com"}}"#
                .to_owned(),
    });
    given.template_variables = Some(r#"{"user":"john@example.com"}"#.to_owned());
    let conversation = conversation(InferenceRequest::new("m", vec![Input::Chat(given)]));
    assert_eq!(conversation.messages[0].name.as_deref(), Some("[EMAIL_1]"));
    assert_eq!(
        conversation.tools[0].definition,
        r#"{"type":"function","function":{"name":"f","description":"of [EMAIL_1]"}}"#
    );
    assert_eq!(
        conversation.template_variables.as_deref(),
        Some(r#"{"user":"[EMAIL_1]"}"#)
    );
}

#[test]
fn the_log_has_kinds_and_counts_and_no_value() {
    mock::take_log();
    redacted("john@example.com, jane@example.com, john@example.com, +491511234567");
    assert_eq!(
        mock::take_log(),
        [(Level::Info, "replaced email 3, phone 1".to_owned())]
    );
    redacted("nothing here");
    assert_eq!(mock::take_log(), []);
}

#[test]
fn a_refusal_names_the_place_and_the_kind_and_never_the_value() {
    mock::take_log();
    let error = refusal(
        REFUSE,
        chat(vec![
            Message::new("system", "s"),
            Message::new("user", "u"),
            Message::new("user", "I am john@example.com"),
        ]),
    );
    assert_eq!(
        (error.status, error.param.as_deref(), error.code.as_deref()),
        (400, Some("messages[2].content"), Some("personal_data"))
    );
    assert_eq!(
        error.message,
        "`messages[2].content` holds personal data (email 1), which this server does not pass on to the model; take it out"
    );
    assert_eq!(
        mock::take_log(),
        [(
            Level::Info,
            "refused a request: email 1 in messages[2].content".to_owned()
        )]
    );
}

#[test]
fn every_place_has_its_name() {
    let param = |request| refusal(REFUSE, request).param.unwrap();
    let thought = Message {
        reasoning: Some("john@example.com".to_owned()),
        ..Message::new("assistant", "")
    };
    assert_eq!(param(chat(vec![thought])), "messages[0].reasoning");
    assert_eq!(
        param(chat(vec![call(r#"{"a":"john@example.com"}"#)])),
        "messages[0].tool_calls[0].function.arguments"
    );
    assert_eq!(param(prompt("john@example.com")), "prompt");
    let two = vec![
        Input::Text("hi".to_owned()),
        Input::Text("john@example.com".to_owned()),
    ];
    assert_eq!(param(InferenceRequest::new("m", two)), "prompt[1]");
}

#[test]
fn a_refusing_server_takes_what_holds_nothing() {
    let request = chat(vec![Message::new("user", "Who wrote Romeo and Juliet?")]);
    assert_eq!(shape(REFUSE, request.clone()).unwrap(), request);
}

#[test]
fn token_ids_are_refused_unless_the_operator_lets_them_pass() {
    let request = InferenceRequest::new("m", vec![Input::Tokens(vec![1, 2])]);
    let error = refusal("{}", request.clone());
    assert_eq!(
        (error.status, error.param.as_deref()),
        (400, Some("prompt"))
    );
    assert_eq!(
        shape(r#"{"tokens":"allow"}"#, request.clone()).unwrap(),
        request
    );
}
