//! The client against a server whose answers are known. The seam between the two, HTTP and SSE, is what is tested.

mod mock;

use std::collections::BTreeSet;

use benchmark::{BenchmarkArgs, Error, Report, measure, run};
use clap::Parser;
use mock::{Answer, Mock};
use serde_json::{Value, json};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: BenchmarkArgs,
}

/// Six requests, two in flight, no warm-up, unless `flags` says otherwise.
fn args(base_url: &str, flags: &[&str]) -> BenchmarkArgs {
    let mut words = vec!["benchmark", "--base-url", base_url, "--api-key", ""];
    words.extend(flags);
    for (flag, value) in [
        ("--requests", "6"),
        ("--concurrency", "2"),
        ("--warmup", "0"),
    ] {
        if !flags.contains(&flag) {
            words.extend([flag, value]);
        }
    }
    Cli::parse_from(words).args
}

async fn measured(mock: &Mock, flags: &[&str]) -> Report {
    measure(&args(mock.base_url(), flags)).await.unwrap()
}

fn event(json: Value) -> String {
    format!("data: {json}\n\n")
}

/// The start of a chat stream: a role and three chunks with text.
fn three_chunks() -> String {
    let deltas = [
        json!({"role": "assistant", "content": ""}),
        json!({"content": "Hel"}),
        json!({"content": "lo \u{20ac}"}),
        json!({"content": "."}),
    ];
    deltas
        .map(|delta| event(json!({"choices": [{"index": 0, "delta": delta}]})))
        .concat()
}

fn finish() -> String {
    event(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
}

fn usage() -> String {
    event(
        json!({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}}),
    )
}

/// A whole chat answer: three chunks with text that hold five tokens.
fn whole() -> Answer {
    Answer::Stream(three_chunks() + ": ping\r\n\r\n" + &finish() + &usage() + "data: [DONE]\n\n")
}

#[tokio::test]
async fn counts_come_from_usage() {
    let mock = Mock::start(|_| whole()).await;
    let report = measured(&mock, &["--save-detailed"]).await;
    assert_eq!(report.errors.len(), 0, "{:?}", report.errors);
    assert_eq!((report.total_requests, report.successful_requests), (6, 6));
    assert_eq!((report.total_tokens, report.prompt_tokens), (30, 66));
    assert_eq!(report.avg_tokens_per_request, Some(5.0));
    assert_eq!(report.tokens_per_chunk, Some(1.667));
    assert!(report.usage_reported);
    assert_eq!(report.model, "first");

    let requests = report.requests.unwrap();
    let indexes: Vec<u32> = requests.iter().map(|request| request.index).collect();
    assert_eq!(indexes, [0, 1, 2, 3, 4, 5]);
    for request in requests {
        assert!(
            request.ttft_ms.unwrap() <= request.latency_ms.unwrap(),
            "{request:?}"
        );
    }
}

#[tokio::test]
async fn times_keep_the_relations_of_their_definitions() {
    let mock = Mock::start(|_| whole()).await;
    let report = measured(&mock, &[]).await;
    assert!(report.p50_ttft_ms <= report.p50_latency_ms);
    assert!(report.p50_latency_ms <= report.p90_latency_ms);
    assert!(report.p90_latency_ms <= report.p99_latency_ms);
    assert!(report.p99_latency_ms.unwrap() <= report.duration_s * 1e3 + 1.0);
    // Two gaps and four token steps lie in each request between its first text and its end.
    let after_first = report.avg_latency_ms.unwrap() - report.mean_ttft_ms.unwrap();
    assert!(report.mean_itl_ms.unwrap() * 2.0 <= after_first + 0.01);
    assert!((report.mean_tpot_ms.unwrap() * 4.0 - after_first).abs() <= 0.01);
}

#[tokio::test]
async fn without_usage_chunks_are_counted_and_the_report_says_so() {
    let mock =
        Mock::start(|_| Answer::Stream(three_chunks() + &finish() + "data: [DONE]\n\n")).await;
    let report = measured(&mock, &[]).await;
    assert_eq!((report.total_tokens, report.prompt_tokens), (18, 0));
    assert!(!report.usage_reported);
}

#[tokio::test]
async fn each_kind_of_failure_is_counted_under_its_message() {
    let mock = Mock::start(|nth| match nth {
        0 => whole(),
        1 => Answer::Status(500, r#"{"error":{"message":"no blocks left"}}"#.into()),
        2 => Answer::Status(503, "<b>gone\n</b>".into()),
        3 => {
            Answer::Stream(three_chunks() + &event(json!({"error": {"message": "plugin trapped"}})))
        }
        4 => Answer::Stream(three_chunks() + &finish()),
        5 => Answer::Cut(three_chunks()),
        6 => Answer::Close,
        7 => Answer::Stream("data: nonsense\n\n".into()),
        _ => Answer::Status(500, r#"{"error":{"message":"no blocks left"}}"#.into()),
    })
    .await;
    let flags = [
        "--requests",
        "10",
        "--concurrency",
        "1",
        "--model",
        "m",
        "--save-detailed",
    ];
    let report = measured(&mock, &flags).await;
    assert_eq!((report.successful_requests, report.failed_requests), (1, 9));
    assert_eq!(report.total_requests, 10);
    assert_eq!(report.errors.values().sum::<u64>(), 9);
    assert_eq!(report.errors["HTTP 500: no blocks left"], 3);
    assert_eq!(report.errors["HTTP 503: <b>gone </b>"], 1);
    assert_eq!(report.errors["error in the stream: plugin trapped"], 1);
    let truncated = "the stream ended without [DONE] (content-type text/event-stream)";
    assert_eq!(report.errors[truncated], 1);
    let connection = report
        .errors
        .iter()
        .filter(|(message, _)| message.starts_with("connection: "));
    assert_eq!(connection.map(|(_, count)| count).sum::<u64>(), 2);
    // Text that came before a failure enters no number.
    assert_eq!((report.total_tokens, report.prompt_tokens), (5, 11));
    let requests = report.requests.unwrap();
    assert_eq!(
        requests
            .iter()
            .filter(|request| request.error.is_some())
            .count(),
        9
    );
}

#[tokio::test]
async fn a_server_that_never_answers_is_a_failure_after_the_timeout() {
    let mock = Mock::start(|_| Answer::Silence).await;
    let report = measured(&mock, &["--model", "m", "--timeout", "0.2"]).await;
    assert_eq!(report.errors["no complete answer within 0.2 s"], 6);
    assert_eq!(report.successful_requests, 0);
}

#[tokio::test]
async fn requests_in_flight_are_as_many_as_asked_for() {
    // Answers come only to three requests at once: with fewer in flight none would ever end.
    let mock = Mock::start_with(|_| whole(), 3).await;
    let flags = ["--concurrency", "3", "--timeout", "60"];
    let report = measured(&mock, &flags).await;
    assert_eq!(report.successful_requests, 6, "{:?}", report.errors);
    assert_eq!(mock.most_waiting(), 3);
}

#[tokio::test]
async fn warm_up_requests_are_sent_but_not_measured() {
    let mock = Mock::start(|_| whole()).await;
    let report = measured(&mock, &["--warmup", "2"]).await;
    assert_eq!((report.total_requests, report.warmup_requests), (6, 2));
    let asked = mock.asked();
    assert_eq!(asked.len(), 8);
    let prompts: std::collections::HashSet<_> = asked
        .iter()
        .map(|asked| asked.body["messages"].to_string())
        .collect();
    assert_eq!(prompts.len(), 8, "a warm-up prompt was measured again");
}

#[tokio::test]
async fn a_chat_request_says_what_the_flags_say() {
    let mock = Mock::start(|_| whole()).await;
    let flags = [
        "--requests",
        "1",
        "--model",
        "m",
        "--prompt",
        "Hi",
        "--max-tokens",
        "9",
        "--temperature",
        "0.5",
        "--seed",
        "4",
        "--ignore-eos",
        "--api-key",
        "k",
    ];
    let mut words = vec!["benchmark", "--base-url", mock.base_url(), "--warmup", "0"];
    words.extend(flags);
    measure(&Cli::parse_from(words).args).await.unwrap();
    let asked = mock.asked();
    assert_eq!(asked[0].target, "/v1/chat/completions");
    assert_eq!(asked[0].authorization.as_deref(), Some("Bearer k"));
    let expected = json!({
        "model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9, "temperature": 0.5,
        "seed": 4, "ignore_eos": true, "stream": true, "stream_options": {"include_usage": true},
    });
    assert_eq!(asked[0].body, expected);
}

#[tokio::test]
async fn a_completion_request_has_a_prompt_and_no_extension_of_openais_fields() {
    let text = event(json!({"choices": [{"index": 0, "text": "a", "finish_reason": "length"}]}));
    let mock = Mock::start(move |_| Answer::Stream(text.clone() + "data: [DONE]\n\n")).await;
    let flags = [
        "--endpoint",
        "completions",
        "--input-len",
        "12",
        "--requests",
        "1",
    ];
    let report = measured(&mock, &flags).await;
    assert_eq!(report.total_tokens, 1);
    let asked = mock.asked();
    assert_eq!(asked[0].target, "/v1/completions");
    assert_eq!(asked[0].authorization, None);
    let body = asked[0].body.as_object().unwrap();
    assert_eq!(body["prompt"].as_str().unwrap().split(' ').count(), 12);
    let fields: BTreeSet<_> = body.keys().map(String::as_str).collect();
    let expected = [
        "max_tokens",
        "model",
        "prompt",
        "stream",
        "stream_options",
        "temperature",
    ];
    assert_eq!(fields, expected.into());
}

#[tokio::test]
async fn a_run_writes_its_report_to_the_output_file() {
    let mock = Mock::start(|_| whole()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.json");
    let report = run(args(
        mock.base_url(),
        &["--json", "--output", path.to_str().unwrap()],
    ))
    .await
    .unwrap();
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written.trim_end(), report.to_json());
}

#[tokio::test]
async fn a_run_fails_if_every_request_failed_and_still_writes_its_report() {
    let mock = Mock::start(|_| Answer::Status(429, r#"{"error":{"message":"slow down"}}"#.into()));
    let mock = mock.await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.json");
    let result = run(args(mock.base_url(), &["--output", path.to_str().unwrap()])).await;
    let error = result.unwrap_err();
    assert!(
        matches!(&error, Error::AllFailed { requests: 6, message } if message == "HTTP 429: slow down"),
        "{error}"
    );
    let written: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(written["failed_requests"], 6);
    assert_eq!(written["p50_latency_ms"], Value::Null);
}

#[tokio::test]
async fn a_server_without_models_is_named_with_the_way_out() {
    let mock = Mock::start(|_| whole()).await;
    let base = mock.base_url().replace("/v1", "/elsewhere");
    let error = measure(&args(&base, &[])).await.unwrap_err().to_string();
    assert!(error.contains("/elsewhere/models"), "{error}");
    assert!(error.contains("--model"), "{error}");
}
