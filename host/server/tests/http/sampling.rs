//! What a request may ask for about its tokens, over HTTP through the shipped plugins.

use std::{collections::HashSet, time::Duration};

use engine::{EngineConfig, Scheduling};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Server, Setup, ask};

/// `ask`, with more fields.
fn with(fields: Value) -> Value {
    let mut request = ask("demo", "hello");
    for (name, value) in fields.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

async fn answer(server: &Server, request: Value) -> Value {
    let response = server.chat(request).await;
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

async fn refusal(server: &Server, request: Value) -> Value {
    let response = server.chat(request).await;
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    body["error"].clone()
}

fn content(body: &Value, choice: usize) -> &str {
    body["choices"][choice]["message"]["content"]
        .as_str()
        .unwrap()
}

#[tokio::test]
async fn samples_are_numbered_each_its_own_and_their_prompt_counts_once() {
    let server = Server::start(Setup::default()).await;
    let hot = |n| with(json!({"n": n, "seed": 7, "temperature": 1.0}));
    let together = answer(&server, hot(4)).await;
    let texts: HashSet<&str> = (0..4).map(|choice| content(&together, choice)).collect();
    assert_eq!(texts.len(), 4, "{together}");
    for choice in 0..4 {
        assert_eq!(together["choices"][choice]["index"], choice);
    }
    let alone = answer(&server, hot(1)).await;
    assert_eq!(content(&together, 0), content(&alone, 0));
    assert_eq!(
        together["usage"]["prompt_tokens"],
        alone["usage"]["prompt_tokens"]
    );
    assert_eq!(together["usage"]["completion_tokens"], 4 * 12);
}

#[tokio::test]
async fn streamed_samples_are_the_whole_ones_in_pieces() {
    let server = Server::start(Setup::default()).await;
    let fields = json!({"n": 3, "seed": 3, "temperature": 1.0});
    let whole = answer(&server, with(fields.clone())).await;
    let mut request = with(fields);
    request["stream"] = json!(true);
    let body = server.chat(request).await.text().await.unwrap();
    let mut texts = [String::new(), String::new(), String::new()];
    for data in body.lines().filter_map(|line| line.strip_prefix("data: {")) {
        let chunk: Value = serde_json::from_str(&format!("{{{data}")).unwrap();
        let choice = &chunk["choices"][0];
        let index = choice["index"].as_u64().unwrap() as usize;
        texts[index] += choice["delta"]["content"].as_str().unwrap_or_default();
    }
    for (index, text) in texts.iter().enumerate() {
        assert_eq!(text, content(&whole, index));
    }
}

#[tokio::test]
async fn every_token_has_its_probability_where_one_asks() {
    let server = Server::start(Setup::default()).await;
    let body = answer(
        &server,
        with(json!({"logprobs": true, "top_logprobs": 3, "seed": 1})),
    )
    .await;
    let tokens = body["choices"][0]["logprobs"]["content"]
        .as_array()
        .unwrap();
    assert_eq!(tokens.len(), 12);
    let mut bytes: Vec<u8> = Vec::new();
    for token in tokens {
        let top = token["top_logprobs"].as_array().unwrap();
        assert_eq!(top.len(), 3);
        // Greedy: the chosen token is the likeliest.
        assert_eq!(token["logprob"], top[0]["logprob"]);
        assert!(token["logprob"].as_f64().unwrap() < 0.0);
        let own = token["bytes"].as_array().unwrap();
        bytes.extend(own.iter().map(|byte| byte.as_u64().unwrap() as u8));
    }
    assert_eq!(String::from_utf8_lossy(&bytes), content(&body, 0));
    let without = answer(&server, with(json!({}))).await;
    assert_eq!(without["choices"][0]["logprobs"], Value::Null);
}

#[tokio::test]
async fn bias_and_penalties_reach_the_engine() {
    let server = Server::start(Setup::default()).await;
    let plain = answer(&server, with(json!({}))).await;
    let forced = answer(&server, with(json!({"logit_bias": {"65": 100}}))).await;
    let letter = content(&forced, 0);
    assert!(letter.chars().all(|c| letter.starts_with(c)), "{letter}");
    assert_ne!(letter, content(&plain, 0));
    // A token that is sure to come again by its bias is out after one time by its penalty.
    let penalised = answer(
        &server,
        with(json!({"logit_bias": {"65": 5}, "presence_penalty": 2, "frequency_penalty": 2})),
    )
    .await;
    let biased = answer(&server, with(json!({"logit_bias": {"65": 5}}))).await;
    assert_ne!(content(&penalised, 0), content(&biased, 0));
    // Below 1 it rewards.
    let repeated = answer(&server, with(json!({"repetition_penalty": 0.1}))).await;
    assert_ne!(content(&repeated, 0), content(&plain, 0));
}

#[tokio::test]
async fn what_the_engine_refuses_is_the_clients_fault_by_name() {
    let server = Server::start(Setup::default()).await;
    for (fields, param) in [
        (json!({"logit_bias": {"999999": 1}}), "logit_bias"),
        (json!({"priority": 1}), "priority"),
        (json!({"n": 73}), "n"),
        (
            json!({"ignore_eos": true, "response_format": {"type": "json_object"}}),
            "ignore_eos",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": 7}}}}),
            "response_format",
        ),
        (
            json!({"structured_outputs": {"regex": "("}}),
            "structured_outputs",
        ),
        (
            json!({"structured_outputs": {"grammar": "start: nothing"}}),
            "structured_outputs",
        ),
    ] {
        let error = refusal(&server, with(fields)).await;
        assert_eq!(error["param"], param, "{error}");
    }
    server.assert_serves().await;
}

#[tokio::test]
async fn more_prompts_than_can_ever_be_held_are_refused_for_good() {
    let server = Server::start(Setup::default()).await;
    let prompts = vec!["a"; 73];
    let request = json!({"model": "demo", "prompt": prompts, "max_tokens": 1});
    let response = server.post("/v1/completions", request.to_string()).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["param"], "prompt");
}

#[tokio::test]
async fn priorities_are_taken_where_the_operator_says_so() {
    let engine = EngineConfig {
        scheduling: Scheduling::Priority,
        ..Setup::default().engine
    };
    let server = Server::start(Setup {
        engine,
        ..Setup::default()
    })
    .await;
    answer(&server, with(json!({"priority": -5}))).await;
}

#[tokio::test]
async fn an_answer_keeps_to_its_form() {
    let server = Server::start(Setup::default()).await;
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["colour", "count"],
        "properties": {"colour": {"enum": ["red", "green"]}, "count": {"type": "integer", "minimum": 0, "maximum": 99}},
    });
    let format = json!({"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": true}});
    let request = with(
        json!({"response_format": format, "max_tokens": 200, "n": 2, "temperature": 1.0, "seed": 5}),
    );
    let body = answer(&server, request).await;
    for choice in 0..2 {
        let value: Value = serde_json::from_str(content(&body, choice)).unwrap();
        assert!(["red", "green"].contains(&value["colour"].as_str().unwrap()));
        assert!(value["count"].as_u64().unwrap() < 100);
        assert_eq!(body["choices"][choice]["finish_reason"], "stop");
    }
    let request =
        with(json!({"structured_outputs": {"choice": ["yes, of course", "no"]}, "max_tokens": 50}));
    let body = answer(&server, request).await;
    assert!(
        ["yes, of course", "no"].contains(&content(&body, 0)),
        "{body}"
    );
}

#[tokio::test]
async fn a_prompt_that_comes_again_is_found_but_not_under_another_salt() {
    let server = Server::start(Setup::default()).await;
    let cached = async |salt: Option<&str>| {
        let mut request = ask("demo", &"word ".repeat(30));
        request["cache_salt"] = json!(salt);
        let body = answer(&server, request).await;
        body["usage"]["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(cached(None).await, 0);
    assert!(cached(None).await >= 16);
    assert_eq!(cached(Some("tenant")).await, 0);
    assert!(cached(Some("tenant")).await >= 16);
    let metrics = server.metrics().await;
    let hits = metrics.lines().find_map(|line| {
        line.strip_prefix("vllm:prefix_cache_hits_total{model_name=\"demo\",engine=\"0\"} ")
    });
    assert!(hits.unwrap().parse::<u64>().unwrap() >= 32, "{metrics}");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up_with_504() {
    let server = Server::start(Setup {
        request_timeout: Some(Duration::ZERO),
        ..Setup::default()
    })
    .await;
    let response = server.chat(ask("demo", "hello")).await;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(server.engine.stats().used_blocks, 0);
}
