//! What goes beyond an answer to a question: tokens, prompts that are repeated, calls that are forced.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Server, Setup, ask};

async fn asked(server: &Server, path: &str, request: &Value) -> (StatusCode, Value) {
    let response = server.post(path, request.to_string()).await;
    (response.status(), response.json().await.unwrap())
}

async fn answered(server: &Server, path: &str, request: &Value) -> Value {
    let (status, body) = asked(server, path, request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

#[tokio::test]
async fn tokens_of_a_text_are_told_and_turned_back_into_it() {
    let server = Server::start(Setup::default()).await;
    let text = "The 2nd café — 🎉";
    let told = answered(
        &server,
        "/tokenize",
        &json!({"prompt": text, "return_token_strs": true}),
    )
    .await;
    let tokens = told["tokens"].as_array().unwrap();
    assert_eq!(told["count"], tokens.len());
    assert_eq!(told["token_strs"].as_array().unwrap().len(), tokens.len());
    assert_eq!(told["max_model_len"], 512);
    let back = answered(&server, "/detokenize", &json!({"tokens": tokens})).await;
    assert_eq!(back, json!({"prompt": text}));
}

#[tokio::test]
async fn the_tokens_of_a_conversation_are_those_that_the_model_answers() {
    let server = Server::start(Setup::default()).await;
    let chat = ask("demo", "hello");
    let told = answered(&server, "/tokenize", &chat).await;
    let answer = answered(&server, "/v1/chat/completions", &chat).await;
    assert_eq!(told["count"], answer["usage"]["prompt_tokens"]);
    let completion =
        json!({"model": "demo", "prompt": told["tokens"], "max_tokens": 12, "temperature": 0});
    let completed = answered(&server, "/v1/completions", &completion).await;
    assert_eq!(
        completed["choices"][0]["text"],
        answer["choices"][0]["message"]["content"]
    );
}

#[tokio::test]
async fn tokens_that_the_model_has_not_are_refused() {
    let server = Server::start(Setup::default()).await;
    let (status, body) = asked(&server, "/detokenize", &json!({"tokens": [4_000_000]})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(body["error"]["param"], "tokens");
}

#[tokio::test]
async fn a_prompt_is_repeated_as_it_was_sent() {
    let server = Server::start(Setup::default()).await;
    let mut request = json!({
        "model": "demo", "prompt": ["once", "twice"], "n": 2, "max_tokens": 4, "temperature": 0, "seed": 1,
    });
    let plain = answered(&server, "/v1/completions", &request).await;
    request["echo"] = json!(true);
    let echoed = answered(&server, "/v1/completions", &request).await;
    assert_eq!(plain["usage"], echoed["usage"]);
    for (choice, prompt) in ["once", "once", "twice", "twice"].iter().enumerate() {
        let text = plain["choices"][choice]["text"].as_str().unwrap();
        assert_eq!(echoed["choices"][choice]["text"], format!("{prompt}{text}"));
    }
    request["max_tokens"] = json!(0);
    let bare = answered(&server, "/v1/completions", &request).await;
    assert_eq!(bare["choices"][3]["text"], "twice");
    assert_eq!(bare["choices"][3]["finish_reason"], "length");
    assert_eq!(bare["usage"]["completion_tokens"], 0);
}

/// Two tools whose arguments are few and short.
fn with_tools(choice: Value) -> Value {
    let parameters = json!({
        "type": "object",
        "properties": {"u": {"enum": ["c", "k"]}, "d": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["u", "d"],
        "additionalProperties": false,
    });
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": parameters}});
    json!({
        "model": "demo",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [tool("a"), tool("b")],
        "tool_choice": choice,
        "parallel_tool_calls": false,
    })
}

/// A call that the parameters of [`with_tools`] allow.
fn assert_fits(function: &Value) {
    let arguments = function["arguments"].as_str().unwrap();
    let arguments: Value = serde_json::from_str(arguments).unwrap();
    assert_eq!(arguments.as_object().unwrap().len(), 2, "{arguments}");
    assert!(["c", "k"].contains(&arguments["u"].as_str().unwrap()));
    assert!((1..=9).contains(&arguments["d"].as_i64().unwrap()));
}

#[tokio::test]
async fn a_forced_call_fits_its_tools_parameters_whatever_the_model_likes() {
    let server = Server::start(Setup {
        max_model_len: 1024,
        ..Setup::default()
    })
    .await;
    let named = json!({"type": "function", "function": {"name": "b"}});
    for seed in 0..8 {
        for choice in [named.clone(), json!("required")] {
            let mut request = with_tools(choice.clone());
            request["seed"] = json!(seed);
            let answer = answered(&server, "/v1/chat/completions", &request).await;
            let choice_made = &answer["choices"][0];
            assert_eq!(choice_made["finish_reason"], "tool_calls", "{answer}");
            let calls = choice_made["message"]["tool_calls"].as_array().unwrap();
            assert_eq!(calls.len(), 1, "{answer}");
            let function = &calls[0]["function"];
            match choice.is_string() {
                true => assert!(
                    ["a", "b"].contains(&function["name"].as_str().unwrap()),
                    "{answer}"
                ),
                false => assert_eq!(function["name"], "b"),
            }
            assert_fits(function);
        }
    }
}

#[tokio::test]
async fn a_forced_call_and_another_form_exclude_each_other() {
    let server = Server::start(Setup::default()).await;
    let mut request = with_tools(json!("required"));
    request["response_format"] = json!({"type": "json_object"});
    let (status, body) = asked(&server, "/v1/chat/completions", &request).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert_eq!(body["error"]["param"], "tool_choice");
}

#[tokio::test]
async fn parameters_that_no_grammar_can_hold_to_are_refused_as_tools() {
    let server = Server::start(Setup::default()).await;
    let mut request = with_tools(json!("required"));
    request["tools"][0]["function"]["parameters"] =
        json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=x)"}}});
    let (status, body) = asked(&server, "/v1/chat/completions", &request).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert_eq!(body["error"]["param"], "tools");
}

/// The vector of a text.
fn vector(answer: &Value, index: usize) -> Vec<f64> {
    let numbers = answer["data"][index]["embedding"].as_array().unwrap();
    numbers.iter().map(|x| x.as_f64().unwrap()).collect()
}

#[tokio::test]
async fn texts_become_vectors_of_length_1_each_by_itself() {
    let server = Server::start(Setup::default()).await;
    let embed = async |input: Value, pooling: &str| {
        let request = json!({"model": "demo", "input": input, "pooling": pooling});
        answered(&server, "/v1/embeddings", &request).await
    };
    for pooling in ["last", "mean"] {
        let texts: Vec<String> = (0..100).map(|number| format!("text {number}")).collect();
        let together = embed(json!(texts), pooling).await;
        assert_eq!(together["data"].as_array().unwrap().len(), 100);
        for index in [0, 41, 99] {
            let alone = embed(json!(texts[index]), pooling).await;
            let vector_alone = vector(&alone, 0);
            assert_eq!(vector(&together, index), vector_alone);
            let square: f64 = vector_alone.iter().map(|x| x * x).sum();
            assert!((square - 1.0).abs() < 1e-5, "{square}");
        }
        assert_ne!(vector(&together, 0), vector(&together, 1));
    }
}

#[tokio::test]
async fn an_echoed_prompt_tells_how_likely_its_tokens_were() {
    let server = Server::start(Setup::default()).await;
    let prompt = json!({
        "model": "demo", "prompt": "once upon a time", "echo": true, "logprobs": 2, "max_tokens": 3, "temperature": 0, "n": 2,
    });
    let answer = answered(&server, "/v1/completions", &prompt).await;
    let prompt_len = answer["usage"]["prompt_tokens"].as_u64().unwrap() as usize;
    for choice in answer["choices"].as_array().unwrap() {
        let logprobs = &choice["logprobs"];
        let tokens = logprobs["tokens"].as_array().unwrap();
        let text: String = tokens.iter().map(|token| token.as_str().unwrap()).collect();
        assert!(text.starts_with("once upon a time"), "{text}");
        let likely = logprobs["token_logprobs"].as_array().unwrap();
        assert!(likely[0].is_null());
        assert!(
            likely[1..prompt_len + 1]
                .iter()
                .all(|x| x.as_f64().unwrap() <= 0.0)
        );
        // Two alternatives, and the token itself unless it is one of them.
        let named = logprobs["top_logprobs"][1].as_object().unwrap().len();
        assert!((2..=3).contains(&named), "{named}");
    }
}
