//! Whole answers as they stand on the wire, kept in `snapshots/`: what changes there changes for every client.
//!
//! Requests bring their own id, and the time in `created` is replaced by 0. After a change that is meant,
//! `INSTA_UPDATE=always` writes the files anew, to be read as a diff; with `CI` set nothing is ever written.

use engine::EngineConfig;
use futures_util::stream::{FuturesUnordered, StreamExt};
use insta::assert_snapshot;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{FIRST_STEPS, Server, Setup, ask, take_first_steps};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

/// A short greedy chat with more fields.
fn chat(fields: Value) -> Value {
    with(ask("demo", "hello"), fields)
}

/// A short greedy completion with more fields.
fn completion(prompt: Value, fields: Value) -> Value {
    let request = json!({"model": "demo", "prompt": prompt, "max_tokens": 8, "temperature": 0});
    with(request, fields)
}

fn with(mut request: Value, fields: Value) -> Value {
    for (name, value) in fields.as_object().expect("fields are an object") {
        request[name] = value.clone();
    }
    request
}

/// A form that leaves one text: what a model would write that calls a tool, or thinks.
fn that_says(text: &str) -> Value {
    json!({"structured_outputs": {"choice": [text]}, "max_tokens": 200})
}

/// Sends a request under an id of the test's own.
async fn send(server: &Server, method: Method, path: &str, body: impl Into<String>) -> Response {
    let request = server
        .client
        .request(method, format!("{}{path}", server.url))
        .header("x-request-id", "snapshot")
        .body(body.into());
    request.send().await.unwrap()
}

/// Status, the headers that say something of the answer, and the body.
async fn transcript(response: Response) -> String {
    let mut lines = vec![response.status().to_string()];
    for name in [
        "content-type",
        "cache-control",
        "allow",
        "retry-after",
        "retry-after-ms",
        "www-authenticate",
        "x-request-id",
    ] {
        if let Some(value) = response.headers().get(name) {
            lines.push(format!("{name}: {}", value.to_str().unwrap()));
        }
    }
    lines.extend([String::new(), without_time(&response.text().await.unwrap())]);
    lines.join("\n")
}

fn without_time(body: &str) -> String {
    let mut pieces = body.split(r#""created":"#);
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        text + r#""created":0"# + piece.trim_start_matches(|digit: char| digit.is_ascii_digit())
    })
}

/// The transcript with the chunks of each choice together, as choices take turns by chance, and ends apart from the last text,
/// as a completion's end rides on it if both are known at once.
fn by_choice(transcript: &str) -> String {
    let (head, body) = transcript
        .split_once("\n\n")
        .expect("a head ends in an empty line");
    let mut events: Vec<(u64, String)> =
        body.split_terminator("\n\n").flat_map(end_apart).collect();
    events.sort_by_key(|(choice, _)| *choice);
    let events: Vec<String> = events.into_iter().map(|(_, event)| event).collect();
    format!("{head}\n\n{}\n\n", events.join("\n\n"))
}

/// An event and its choice, or two where a chunk holds both text and end; what is of no choice comes last.
fn end_apart(event: &str) -> Vec<(u64, String)> {
    let chunk = event
        .strip_prefix("data: ")
        .and_then(|data| serde_json::from_str(data).ok());
    let place = |chunk: &Value| chunk["choices"][0]["index"].as_u64();
    let Some((choice, mut chunk)) = chunk.and_then(|chunk| Some((place(&chunk)?, chunk))) else {
        return vec![(u64::MAX, event.to_owned())];
    };
    let has_text = chunk["choices"][0]["text"]
        .as_str()
        .is_some_and(|text| !text.is_empty());
    let reason = chunk["choices"][0]["finish_reason"].clone();
    if !has_text || reason.is_null() {
        return vec![(choice, event.to_owned())];
    }
    chunk["choices"][0]["finish_reason"] = Value::Null;
    let text = format!("data: {chunk}");
    chunk["choices"][0]["text"] = json!("");
    chunk["choices"][0]["finish_reason"] = reason;
    vec![(choice, text), (choice, format!("data: {chunk}"))]
}

/// The transcript of a request to a server of its own.
async fn of(path: &str, request: Value) -> String {
    let server = Server::start(Setup::default()).await;
    transcript(send(&server, Method::POST, path, request.to_string()).await).await
}

#[tokio::test]
async fn a_chat_is_streamed_in_chunks() {
    assert_snapshot!(of(CHAT, chat(json!({"stream": true}))).await);
}

#[tokio::test]
async fn a_chat_stream_ends_with_its_usage_where_the_client_asks() {
    let request = chat(json!({"stream": true, "stream_options": {"include_usage": true}}));
    assert_snapshot!(of(CHAT, request).await);
}

#[tokio::test]
async fn every_chunk_has_its_usage_where_the_client_asks() {
    let options = json!({"include_usage": true, "continuous_usage_stats": true});
    let request = chat(json!({"stream": true, "stream_options": options}));
    assert_snapshot!(of(CHAT, request).await);
}

#[tokio::test]
async fn two_samples_are_streamed_side_by_side() {
    let request = chat(json!({"stream": true, "n": 2, "temperature": 1, "seed": 7}));
    assert_snapshot!(by_choice(&of(CHAT, request).await));
}

#[tokio::test]
async fn chunks_bring_the_log_probabilities_of_their_tokens() {
    let request =
        chat(json!({"stream": true, "logprobs": true, "top_logprobs": 2, "max_tokens": 4}));
    assert_snapshot!(of(CHAT, request).await);
}

#[tokio::test]
async fn a_stream_ends_before_a_stop_string() {
    let said = that_says("one, two, three");
    let request = with(chat(said), json!({"stream": true, "stop": [" thr"]}));
    assert_snapshot!(of(CHAT, request).await);
}

#[tokio::test]
async fn a_tool_call_is_streamed_as_one() {
    let call = "Let me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Bern\"}}\n</tool_call>";
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let tool =
        json!({"type": "function", "function": {"name": "weather", "parameters": parameters}});
    let request = with(
        chat(that_says(call)),
        json!({"stream": true, "tools": [tool]}),
    );
    assert_snapshot!(of(CHAT, request).await);
}

#[tokio::test]
async fn reasoning_is_streamed_apart_from_the_answer() {
    let said = that_says("<think>\nIs it?\n</think>\n\nIt is.");
    assert_snapshot!(of(CHAT, with(chat(said), json!({"stream": true}))).await);
}

#[tokio::test]
async fn a_whole_chat_is_one_object() {
    let request = chat(json!({"logprobs": true, "top_logprobs": 1, "max_tokens": 3}));
    assert_snapshot!(of(CHAT, request).await);
}

#[tokio::test]
async fn a_completion_is_streamed_in_chunks() {
    let said = with(
        that_says("one, two, three"),
        json!({"stream": true, "stop": "ee"}),
    );
    let request = completion(json!("once"), said);
    assert_snapshot!(by_choice(&of(COMPLETIONS, request).await));
}

#[tokio::test]
async fn a_list_of_prompts_is_answered_in_its_order() {
    let request = completion(json!(["one", "two", "three"]), json!({}));
    assert_snapshot!(of(COMPLETIONS, request).await);
}

#[tokio::test]
async fn a_list_of_prompts_is_streamed_side_by_side() {
    let said = with(
        that_says("one, two, three"),
        json!({"stream": true, "stop": "ee"}),
    );
    let request = completion(json!(["one", "two"]), said);
    assert_snapshot!(by_choice(&of(COMPLETIONS, request).await));
}

#[tokio::test]
async fn a_failure_in_the_midst_of_a_stream_is_told_before_its_end() {
    let (open, server) = Server::start_gated_failing(Setup::default(), FIRST_STEPS).await;
    let request = chat(json!({"stream": true})).to_string();
    take_first_steps(&open);
    let mut response = send(&server, Method::POST, CHAT, request).await;
    // What was not read when the failure comes may be lost to it.
    let mut body = Vec::new();
    while body.windows(2).filter(|end| end == b"\n\n").count() < FIRST_STEPS {
        let chunk = response.chunk().await.unwrap();
        body.extend(chunk.expect("the stream goes on while the model waits"));
    }
    drop(open);
    body.extend(response.bytes().await.unwrap());
    assert_snapshot!(without_time(str::from_utf8(&body).unwrap()));
}

#[tokio::test]
async fn a_failure_before_the_first_chunk_has_a_status() {
    let (open, server) = Server::start_gated_failing(Setup::default(), 0).await;
    drop(open);
    let request = chat(json!({"stream": true})).to_string();
    assert_snapshot!(transcript(send(&server, Method::POST, CHAT, request).await).await);
}

#[tokio::test]
async fn refusals_of_the_router_name_the_field() {
    let server = Server::start(Setup::default()).await;
    let mut all = Vec::new();
    for (path, body) in [
        (CHAT, String::new()),
        (CHAT, r#"{"model": "demo""#.to_owned()),
        (CHAT, json!({"model": "demo"}).to_string()),
        (CHAT, chat(json!({"model": "other"})).to_string()),
        (CHAT, chat(json!({"temperature": 3})).to_string()),
        (CHAT, chat(json!({"max_tokens": 4096})).to_string()),
        (CHAT, chat(json!({"logit_bias": {"9999": 1}})).to_string()),
        (COMPLETIONS, completion(json!([]), json!({})).to_string()),
        (
            COMPLETIONS,
            completion(json!([9999]), json!({})).to_string(),
        ),
        (
            COMPLETIONS,
            completion(json!("a"), json!({"structured_outputs": {"regex": "("}})).to_string(),
        ),
    ] {
        let answer = transcript(send(&server, Method::POST, path, body.clone()).await).await;
        all.push(format!("POST {path} {body}\n{answer}"));
    }
    assert_snapshot!(all.join("\n\n"));
}

#[tokio::test]
async fn refusals_of_the_host_have_the_same_shape() {
    let guarded = Server::start(Setup {
        api_keys: &["right"],
        ..Setup::default()
    })
    .await;
    let server = Server::start(Setup::default()).await;
    let large = " ".repeat(2 << 20);
    let mut all = Vec::new();
    for (server, method, path, body) in [
        (&guarded, Method::GET, "/v1/models", ""),
        (&server, Method::GET, "/v1/none", ""),
        (&server, Method::GET, "/v1/models/none", ""),
        (&server, Method::DELETE, "/v1/models", ""),
        (&server, Method::GET, CHAT, ""),
        (&server, Method::POST, CHAT, &large),
    ] {
        let answer = transcript(send(server, method.clone(), path, body).await).await;
        all.push(format!("{method} {path}, {} bytes\n{answer}", body.len()));
    }
    assert_snapshot!(all.join("\n\n"));
}

#[tokio::test]
async fn a_full_server_says_when_to_come_back() {
    let engine = EngineConfig {
        max_num_seqs: 1,
        max_num_queued_reqs: 1,
        ..EngineConfig::default()
    };
    let (open, server) = Server::start_gated(Setup {
        engine,
        ..Setup::default()
    })
    .await;
    let request = chat(json!({})).to_string();
    // Two of the three wait, and no step is taken.
    let mut asked: FuturesUnordered<_> = (0..3)
        .map(|_| send(&server, Method::POST, CHAT, &request))
        .collect();
    let refused = asked.next().await.expect("three were asked");
    drop(open);
    assert_snapshot!(transcript(refused).await);
}
