//! Tokens of texts and texts of tokens, in vLLM's words.

use openai_router::Answer;
use plugin_sdk::{Event, Input, Outcome, PromptReport, PromptToken, Reply, Task, TokenizeRequest};
use serde_json::{Value, json};

use crate::support::*;

fn ask(path: &str, body: &str) -> (TokenizeRequest, Answer) {
    match send("POST", path, body) {
        Outcome::Run(Task::Tokenize(request), answer) => (request, answer),
        Outcome::Run(task, _) => panic!("another task: {task:?}"),
        Outcome::Respond(response) => {
            panic!("refused: {}", String::from_utf8_lossy(&response.body))
        }
    }
}

fn told(path: &str, body: &str) -> Value {
    let (_, mut answer) = ask(path, body);
    let token = |(id, bytes): (u32, &[u8])| PromptToken {
        id,
        bytes: bytes.to_vec(),
        logprob: None,
        top: Vec::new(),
    };
    let report = PromptReport {
        input: 0,
        text: "hi 🎉".to_owned(),
        tokens: [(7, b"hi".as_slice()), (9, b"\xf0\x9f")].map(token).into(),
    };
    answer.push(vec![Event::Prompt(report)]);
    serde_json::from_slice(&answer.finish(usage(0))).unwrap()
}

#[test]
fn a_text_is_told_its_tokens() {
    let (request, _) = ask("/tokenize", r#"{"prompt":"hi"}"#);
    assert_eq!(request.model, "tiny");
    assert_eq!(request.inputs, [Input::Text("hi".to_owned())]);
    assert!(request.add_special_tokens);
    let (request, _) = ask(
        "/tokenize",
        r#"{"model":"tiny","prompt":"hi","add_special_tokens":false}"#,
    );
    assert!(!request.add_special_tokens);
    assert_eq!(
        told("/tokenize", r#"{"prompt":"hi"}"#),
        json!({"count": 2, "max_model_len": 4096, "tokens": [7, 9], "token_strs": null})
    );
    assert_eq!(
        told("/tokenize", r#"{"prompt":"hi","return_token_strs":true}"#)["token_strs"],
        json!(["hi", "\u{fffd}"])
    );
}

#[test]
fn a_conversation_is_told_the_tokens_of_its_prompt() {
    let body = r#"{"messages":[{"role":"user","content":"hi"}],"add_generation_prompt":false,"chat_template_kwargs":{"a":1}}"#;
    let (request, _) = ask("/tokenize", body);
    let [Input::Chat(conversation)] = &request.inputs[..] else {
        panic!("no conversation: {request:?}")
    };
    assert_eq!(conversation.messages[0].content.as_deref(), Some("hi"));
    assert!(!conversation.add_generation_prompt);
    assert_eq!(
        conversation.template_variables.as_deref(),
        Some(r#"{"a":1}"#)
    );
    assert!(!request.add_special_tokens);
}

#[test]
fn tokens_are_told_their_text() {
    let (request, _) = ask("/detokenize", r#"{"tokens":[7,9]}"#);
    assert_eq!(request.inputs, [Input::Tokens(vec![7, 9])]);
    assert_eq!(
        told("/detokenize", r#"{"tokens":[7,9]}"#),
        json!({"prompt": "hi 🎉"})
    );
}

#[test]
fn what_has_no_tokens_is_refused_with_the_field() {
    let message = r#"{"role":"user","content":"hi"}"#;
    let cases = [
        ("/tokenize", "{}".to_owned(), 400, "prompt"),
        ("/tokenize", r#"{"prompt":["a"]}"#.to_owned(), 400, "prompt"),
        (
            "/tokenize",
            r#"{"prompt":"a","model":"other"}"#.to_owned(),
            404,
            "model",
        ),
        (
            "/tokenize",
            format!(r#"{{"prompt":"a","messages":[{message}]}}"#),
            400,
            "messages",
        ),
        (
            "/tokenize",
            r#"{"messages":[]}"#.to_owned(),
            400,
            "messages",
        ),
        (
            "/tokenize",
            format!(r#"{{"messages":[{message}],"add_special_tokens":true}}"#),
            400,
            "add_special_tokens",
        ),
        ("/detokenize", "{}".to_owned(), 400, "tokens"),
        ("/detokenize", r#"{"tokens":"a"}"#.to_owned(), 400, "tokens"),
    ];
    for (path, body, status, param) in cases {
        let response = respond("POST", path, body.clone());
        let told: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(response.status, status, "{body}");
        assert_eq!(told["error"]["param"], param, "{body}");
    }
}
