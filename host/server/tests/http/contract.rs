//! What every client relies on.

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{Server, Setup, ask};

/// The texts of a stream's chunks, and its last line.
fn read_stream(body: &str) -> (String, &str) {
    let events: Vec<&str> = body
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .collect();
    let (last, chunks) = events.split_last().expect("a stream has an end");
    let text = chunks.iter().map(|chunk| {
        let chunk: Value = serde_json::from_str(chunk).unwrap();
        chunk["choices"][0]["delta"]["content"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    });
    (text.collect(), last)
}

#[tokio::test]
async fn a_streamed_answer_is_the_whole_one_in_pieces() {
    let server = Server::start(Setup::default()).await;
    let whole: Value = server
        .chat(ask("demo", "hello"))
        .await
        .json()
        .await
        .unwrap();
    let mut request = ask("demo", "hello");
    request["stream"] = json!(true);
    let streamed = server.chat(request).await;
    assert_eq!(
        streamed.headers()[header::CONTENT_TYPE],
        "text/event-stream"
    );
    let body = streamed.text().await.unwrap();
    let (text, last) = read_stream(&body);
    assert_eq!(whole["choices"][0]["message"]["content"], text);
    assert_eq!(last, "[DONE]");
    assert_eq!(whole["usage"]["completion_tokens"], 12);
}

#[tokio::test]
async fn several_prompts_of_one_request_each_get_their_own_choice() {
    let server = Server::start(Setup::default()).await;
    let complete = async |prompt: Value| -> Value {
        let request = json!({"model": "demo", "prompt": prompt, "max_tokens": 8, "temperature": 0});
        server
            .post("/v1/completions", request.to_string())
            .await
            .json()
            .await
            .unwrap()
    };
    let together = complete(json!(["one", "two", "three"])).await;
    for (index, prompt) in ["one", "two", "three"].into_iter().enumerate() {
        let alone = complete(json!(prompt)).await;
        assert_eq!(
            together["choices"][index]["text"],
            alone["choices"][0]["text"]
        );
        assert_eq!(together["choices"][index]["index"], index);
    }
}

#[tokio::test]
async fn a_prompt_and_answer_that_exceed_the_context_are_refused_with_the_numbers() {
    let server = Server::start(Setup::default()).await;
    for (words, max_tokens) in [(1000, 1), (1, 512)] {
        let mut request = ask("demo", &"word ".repeat(words));
        request["max_tokens"] = json!(max_tokens);
        let response = server.chat(request).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], "context_length_exceeded");
        assert!(
            body["error"]["message"].as_str().unwrap().contains("512"),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_refused_by_the_field_that_its_endpoint_has() {
    let server = Server::start(Setup::default()).await;
    let text = "word ".repeat(1000);
    let completion = json!({"model": "demo", "prompt": text, "max_tokens": 1}).to_string();
    for (path, body, param) in [
        (
            "/v1/chat/completions",
            ask("demo", &text).to_string(),
            "messages",
        ),
        ("/v1/completions", completion, "prompt"),
    ] {
        let response = server.post(path, body).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["param"], param, "{path}");
    }
}

#[tokio::test]
async fn token_ids_outside_the_vocabulary_are_the_clients_fault() {
    let server = Server::start(Setup::default()).await;
    let request = json!({"model": "demo", "prompt": [1, 999_999], "max_tokens": 1});
    let response = server.post("/v1/completions", request.to_string()).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["param"], "prompt");
}

#[tokio::test]
async fn every_response_carries_an_id_and_may_be_read_by_a_page() {
    let server = Server::start(Setup::default()).await;
    for path in ["/health", "/v1/models", "/nowhere"] {
        let request = server
            .client
            .get(format!("{}{path}", server.url))
            .header("x-request-id", "mine");
        let headers = request.send().await.unwrap().headers().clone();
        assert_eq!(headers["x-request-id"], "mine");
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }
    let preflight = server
        .client
        .request(
            Method::OPTIONS,
            format!("{}/v1/chat/completions", server.url),
        )
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            "authorization,x-stainless-os",
        );
    let response = preflight.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        response.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS],
        "authorization,x-stainless-os"
    );
}

#[tokio::test]
async fn keys_guard_the_api_and_not_its_health() {
    let server = Server::start(Setup {
        api_keys: &["right"],
        ..Setup::default()
    })
    .await;
    let get = async |path: &str, key: &str| {
        let request = server
            .client
            .get(format!("{}{path}", server.url))
            .bearer_auth(key);
        request.send().await.unwrap().status()
    };
    assert_eq!(get("/v1/models", "wrong").await, StatusCode::UNAUTHORIZED);
    assert_eq!(get("/v1/models", "right").await, StatusCode::OK);
    for path in ["/health", "/ready", "/metrics"] {
        assert_eq!(get(path, "wrong").await, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn bodies_methods_and_paths_that_do_not_fit_get_their_own_status() {
    let server = Server::start(Setup::default()).await;
    assert_eq!(
        server
            .post("/v1/completions", vec![b' '; 2 << 20])
            .await
            .status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(
        server.post("/v1/models", "").await.status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(
        server.post("/v1/none", "").await.status(),
        StatusCode::NOT_FOUND
    );
    for body in [&b"{"[..], b"null", b"\xff", b""] {
        assert_eq!(
            server.post("/v1/chat/completions", body).await.status(),
            StatusCode::BAD_REQUEST,
            "{body:?}"
        );
    }
    server.assert_serves().await;
}
