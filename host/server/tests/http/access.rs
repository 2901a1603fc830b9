//! The access log.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use artifact::Digest;
use reqwest::StatusCode;
use serde_json::{Value, json};
use server::ApiKey;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::support::{Server, Setup, ask, take_first_steps, wait_until};

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

impl Log {
    /// Logs what happens on this thread, on which such a test's server runs too.
    fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_env_filter(EnvFilter::new("off,host::access=info"))
            .with_writer(log.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The line of the request with this id, once it is there.
    async fn line(&self, request_id: &str) -> Value {
        let find = || {
            let text = self.text();
            let lines = text
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines
                .into_iter()
                .find(|line| line["request_id"] == request_id)
        };
        wait_until(async || find().is_some()).await;
        find().unwrap()
    }
}

async fn ask_with_id(server: &Server, id: &str, request: Value) -> reqwest::Response {
    let url = format!("{}/v1/chat/completions?token=in-the-query", server.url);
    let asked = server
        .client
        .post(url)
        .header("x-request-id", id)
        .bearer_auth("the secret")
        .body(request.to_string());
    asked.send().await.unwrap()
}

#[tokio::test]
async fn each_request_gets_one_line_at_its_end_that_has_no_secrets() {
    let (log, _guard) = Log::start();
    let alice = ApiKey::new("alice".parse().unwrap(), Digest::of(b"the secret"));
    let (open, server) = Server::start_gated(Setup {
        keys: vec![alice],
        ..Setup::default()
    })
    .await;
    let mut request = ask("demo", "a private question");
    request["stream"] = json!(true);
    take_first_steps(&open);
    let streaming = ask_with_id(&server, "stream", request.clone()).await;
    assert_eq!(log.text(), "", "its end is not there yet");
    drop(open);
    let body = streaming.text().await.unwrap();
    let line = log.line("stream").await;
    assert_eq!(line["target"], "host::access");
    assert_eq!(line["method"], "POST");
    assert_eq!(line["path"], "/v1/chat/completions");
    assert_eq!(line["status"], 200);
    assert_eq!(line["key"], "alice");
    assert_eq!(line["bytes"], body.len());
    assert_eq!(line["end"], "whole");
    let (to_head, in_all) = (line["head_ms"].as_f64(), line["total_ms"].as_f64());
    assert!(to_head.unwrap() <= in_all.unwrap(), "{line}");

    request["stream"] = json!(false);
    let whole = ask_with_id(&server, "whole", request).await;
    assert_eq!(whole.status(), StatusCode::OK);
    let len = whole.text().await.unwrap().len();
    let line = log.line("whole").await;
    assert_eq!(
        (&line["bytes"], &line["end"]),
        (&json!(len), &json!("whole"))
    );

    let unknown = server.get("/nowhere").await;
    let id = unknown.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let line = log.line(&id).await;
    assert_eq!((&line["status"], &line["key"]), (&json!(401), &json!("-")));
    server.get("/health").await;

    let text = log.text();
    assert_eq!(text.lines().count(), 3, "{text}");
    for secret in ["the secret", "private question", "in-the-query"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_and_amid_its_answer_gets_a_line_too() {
    let (log, _guard) = Log::start();
    let alice = ApiKey::new("alice".parse().unwrap(), Digest::of(b"the secret"));
    let (open, server) = Server::start_gated(Setup {
        keys: vec![alice],
        ..Setup::default()
    })
    .await;
    let mut request = ask("demo", "hello");
    request["max_tokens"] = json!(200);
    take_first_steps(&open);
    let runs = async || server.engine.stats().generated_tokens > 0;
    tokio::select! {
        _ = ask_with_id(&server, "before", request.clone()) => unreachable!("it has not ended"),
        () = wait_until(runs) => {}
    }
    let line = log.line("before").await;
    assert_eq!(line["key"], "alice");
    assert_eq!(
        (&line["status"], &line["end"]),
        (&json!(499), &json!("cut off"))
    );
    request["stream"] = json!(true);
    (0..4).for_each(|_| take_first_steps(&open));
    drop(ask_with_id(&server, "amid", request).await);
    let line = log.line("amid").await;
    assert_eq!(
        (&line["status"], &line["end"]),
        (&json!(200), &json!("cut off"))
    );
    drop(open);
}
