//! Keys with terms: limits, models and settings of their own, and what becomes of them when keys or plugins are replaced.

use std::num::NonZeroU32;

use artifact::Digest;
use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};
use server::{ApiKey, Rates};

use crate::support::{Plugins, SHIPPED, Server, Setup, ask};

/// A key whose secret is `NAME's secret`.
fn key(name: &str) -> ApiKey {
    let secret = format!("{name}'s secret");
    ApiKey::new(name.parse().unwrap(), Digest::of(secret.as_bytes()))
}

fn limited(name: &str, requests: u32, tokens: u32) -> ApiKey {
    ApiKey {
        rates: Rates {
            requests_per_minute: NonZeroU32::new(requests),
            tokens_per_minute: NonZeroU32::new(tokens),
        },
        ..key(name)
    }
}

/// A key whose answers are cut to so many tokens by the shaper.
fn short_answers(name: &str, max_tokens: u32) -> ApiKey {
    let Value::Object(settings) = json!({"max_max_tokens": max_tokens}) else {
        unreachable!("it is an object")
    };
    ApiKey {
        shapers: [("request-shaper".to_owned(), settings)].into(),
        ..key(name)
    }
}

async fn start(keys: Vec<ApiKey>) -> Server {
    Server::start(Setup {
        keys,
        ..Setup::default()
    })
    .await
}

impl Server {
    async fn ask_as(&self, name: &str, method: Method, path: &str, body: String) -> Response {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = request.bearer_auth(format!("{name}'s secret"));
        request.body(body).send().await.unwrap()
    }

    async fn chat_as(&self, name: &str, request: Value) -> Response {
        let path = "/v1/chat/completions";
        self.ask_as(name, Method::POST, path, request.to_string())
            .await
    }

    async fn models_as(&self, name: &str) -> Response {
        let path = "/v1/models";
        self.ask_as(name, Method::GET, path, String::new()).await
    }
}

async fn num_tokens(response: Response) -> u64 {
    let answer: Value = response.json().await.unwrap();
    answer["usage"]["completion_tokens"].as_u64().unwrap()
}

#[tokio::test]
async fn requests_beyond_a_keys_limit_get_429_and_those_of_others_are_answered() {
    let server = start(vec![limited("alice", 2, 0), key("bob")]).await;
    for left in ["1", "0"] {
        let response = server.models_as("alice").await;
        assert_eq!(response.status(), StatusCode::OK);
        let headers = response.headers();
        assert_eq!(headers["x-ratelimit-limit-requests"], "2");
        assert_eq!(headers["x-ratelimit-remaining-requests"], left);
        assert!(headers.contains_key("x-ratelimit-reset-requests"));
        assert!(!headers.contains_key("x-ratelimit-limit-tokens"));
    }
    let refused = server.chat_as("alice", ask("demo", "hello")).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let headers = refused.headers().clone();
    assert_eq!(headers["x-ratelimit-remaining-requests"], "0");
    let wait_ms: u64 = headers["retry-after-ms"].to_str().unwrap().parse().unwrap();
    assert!((1..=30_000).contains(&wait_ms), "{wait_ms}");
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["error"]["type"], "rate_limit_error");
    assert_eq!(body["error"]["code"], "rate_limit_exceeded");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("requests_per_minute"), "{message}");
    let others = server.models_as("bob").await;
    assert_eq!(others.status(), StatusCode::OK);
    assert!(!others.headers().contains_key("x-ratelimit-limit-requests"));
}

#[tokio::test]
async fn tokens_of_prompt_and_answer_count_and_whoever_used_too_many_may_still_list_models() {
    let server = start(vec![limited("alice", 0, 20)]).await;
    let answered = server.chat_as("alice", ask("demo", "hello")).await;
    assert_eq!(answered.status(), StatusCode::OK);
    assert_eq!(answered.headers()["x-ratelimit-remaining-tokens"], "0");
    let usage = answered.json::<Value>().await.unwrap()["usage"].clone();
    let used = usage["total_tokens"].as_u64().unwrap();
    assert!(used > 20, "{usage}");
    let refused = server.chat_as("alice", ask("demo", "hello")).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    // The debt at 20 tokens a minute, less the moments since.
    let wait_ms: u64 = refused.headers()["retry-after-ms"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(wait_ms <= (used - 20) * 3000 + 1, "{wait_ms} for {usage}");
    let body: Value = refused.json().await.unwrap();
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("tokens_per_minute"), "{message}");
    assert_eq!(server.models_as("alice").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_function_behind_keys_counts_requests_too() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Setup {
        data_dir: Some(folder.path().into()),
        keys: vec![limited("alice", 1, 0)],
        ..Setup::default()
    })
    .await;
    let shut = json!({"access": "key"});
    server.deploy("shut", "hello", shut).await;
    for expected in [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
        let path = "/fn/shut/x";
        let response = server
            .ask_as("alice", Method::GET, path, String::new())
            .await;
        assert_eq!(response.status(), expected);
        assert_eq!(response.headers()["x-ratelimit-limit-requests"], "1");
    }
}

#[tokio::test]
async fn a_key_for_one_model_gets_403_for_another() {
    let mut alice = key("alice");
    alice.models = Some(["small".to_owned()].into());
    let server = Server::start(Setup {
        keys: vec![alice, key("bob")],
        names: &["demo", "small"],
        ..Setup::default()
    })
    .await;
    assert_eq!(
        server.chat_as("alice", ask("small", "a")).await.status(),
        StatusCode::OK
    );
    assert_eq!(
        server.chat_as("bob", ask("demo", "a")).await.status(),
        StatusCode::OK
    );
    let refused = server.chat_as("alice", ask("demo", "a")).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["error"]["type"], "permission_error");
    assert_eq!(body["error"]["code"], "model_not_allowed");
    assert_eq!(body["error"]["param"], "model");
}

#[tokio::test]
async fn a_keys_settings_go_before_the_shapers_own_and_hold_for_that_key_alone() {
    let server = start(vec![short_answers("alice", 4), key("bob")]).await;
    for (name, len) in [("alice", 4), ("bob", 12), ("alice", 4)] {
        let response = server.chat_as(name, ask("demo", "hello")).await;
        assert_eq!(num_tokens(response).await, len, "{name}");
    }
}

#[tokio::test]
async fn keys_are_replaced_as_a_whole_or_not_at_all() {
    let server = start(vec![limited("alice", 1, 0)]).await;
    assert_eq!(server.models_as("alice").await.status(), StatusCode::OK);
    let mut unknown = key("carol");
    unknown.shapers = [("no-such".to_owned(), serde_json::Map::new())].into();
    for (keys, said) in [
        (vec![key("carol"), key("carol")], "`carol`"),
        (vec![key("bob"), unknown], "there are: request-shaper"),
        (
            vec![key("bob"), short_answers("carol", 0)],
            "max_max_tokens",
        ),
    ] {
        let error = server.app.swap_keys(keys).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        assert_eq!(
            server.models_as("bob").await.status(),
            StatusCode::UNAUTHORIZED
        );
    }
    server
        .app
        .swap_keys(vec![limited("alice", 1, 0), key("bob")])
        .unwrap();
    assert_eq!(server.models_as("bob").await.status(), StatusCode::OK);
    let used_up = server.models_as("alice").await;
    assert_eq!(
        used_up.status(),
        StatusCode::TOO_MANY_REQUESTS,
        "a reload gives nothing back"
    );
    server.app.swap_keys(vec![key("bob")]).unwrap();
    assert_eq!(
        server.models_as("alice").await.status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn plugins_that_do_not_take_the_keys_settings_are_refused() {
    let server = start(vec![short_answers("alice", 4)]).await;
    *server.next_plugins.lock().unwrap() = Plugins {
        shaper: "pii-redaction",
        ..SHIPPED
    };
    let (status, answer) = server.admin(Method::POST, "/v1/plugins/reload", "").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("`alice`") && message.contains("pii-redaction"),
        "{message}"
    );
    let response = server.chat_as("alice", ask("demo", "hello")).await;
    assert_eq!(num_tokens(response).await, 4);
}

#[tokio::test]
async fn pages_of_the_origins_that_are_allowed_may_read_answers_limits_and_refusals() {
    let server = Server::start(Setup {
        keys: vec![key("alice")],
        allowed_origins: "https://app.example.com",
        ..Setup::default()
    })
    .await;
    for (origin, allowed) in [
        ("https://app.example.com", true),
        ("https://b.example.com", false),
    ] {
        for authorization in ["Bearer alice's secret", "Bearer wrong"] {
            let request = server
                .client
                .get(format!("{}/v1/models", server.url))
                .header(header::ORIGIN, origin)
                .header(header::AUTHORIZATION, authorization);
            let headers = request.send().await.unwrap().headers().clone();
            let told = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(
                told.is_some_and(|told| told == origin),
                allowed,
                "{headers:?}"
            );
            assert_eq!(headers[header::VARY], "origin");
            if allowed {
                let exposed = headers[header::ACCESS_CONTROL_EXPOSE_HEADERS]
                    .to_str()
                    .unwrap();
                for name in ["x-request-id", "retry-after-ms", "x-ratelimit-reset-tokens"] {
                    assert!(exposed.contains(name), "{exposed}");
                }
            }
        }
    }
}
