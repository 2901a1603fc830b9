//! Plugins and functions replaced while requests run: none is lost, and what is broken never takes over.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use engine::EngineConfig;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Plugins, SHIPPED, Server, Setup, ask};

const NUM_CLIENTS: usize = 50;
const NUM_SWAPS: u64 = 100;

/// Room for all clients at once, so that nobody is told to come back.
fn roomy() -> Setup {
    Setup {
        engine: EngineConfig {
            max_num_seqs: 32,
            max_num_batched_tokens: 64,
            max_num_queued_reqs: NUM_CLIENTS,
            ..EngineConfig::default()
        },
        ..Setup::default()
    }
}

/// The text of a streamed answer, which must have come to its end.
async fn streamed(server: &Server, question: &str) -> String {
    let mut request = ask("demo", question);
    request["stream"] = json!(true);
    let response = server.chat(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.text().await.unwrap();
    assert!(body.ends_with("data: [DONE]\n\n"), "{body}");
    let events = body
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: {"));
    let events = events.map(|event| serde_json::from_str(&format!("{{{event}")).unwrap());
    let content = |event: Value| {
        assert!(event.get("error").is_none(), "{event}");
        event["choices"][0]["delta"]["content"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    events.map(content).collect()
}

/// Has all clients ask again and again until the work is done; the number of answers.
async fn under_load(work: impl Future<Output = ()>, ask: impl AsyncFn(usize)) -> usize {
    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = async |index: usize| {
        while !done.load(Relaxed) {
            ask(index).await;
            answered.fetch_add(1, Relaxed);
        }
    };
    let working = async {
        work.await;
        done.store(true, Relaxed);
    };
    tokio::join!(working, join_all((0..NUM_CLIENTS).map(client)));
    answered.into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_swaps_of_all_plugins_under_fifty_streams_lose_nothing() {
    let server = Server::start(roomy()).await;
    let question = |index: usize| format!("question number {index}");
    let mut expected = Vec::new();
    for index in 0..NUM_CLIENTS {
        expected.push(streamed(&server, &question(index)).await);
    }
    let swaps = async {
        for swap in 0..NUM_SWAPS {
            let (status, plugins) = server.admin(Method::POST, "/v1/plugins/reload", "").await;
            assert_eq!(status, StatusCode::OK, "{plugins}");
            assert_eq!(plugins["generation"], swap + 2);
        }
    };
    let answered = under_load(swaps, async |index| {
        assert_eq!(streamed(&server, &question(index)).await, expected[index]);
    });
    let answered = answered.await;
    assert!(
        answered >= NUM_CLIENTS,
        "only {answered} answers: there was no load"
    );
    let faults = server.metrics().await;
    assert!(!faults.contains("host_plugin_faults_total{"), "{faults}");
}

#[tokio::test]
async fn a_broken_version_is_refused_by_name_and_the_old_one_stays() {
    let server = Server::start(Setup::default()).await;
    for (broken, said) in [
        (
            Plugins {
                router: "request-shaper",
                ..SHIPPED
            },
            "a router is wanted",
        ),
        (
            Plugins {
                shaper: "hostile-prober-secrets",
                ..SHIPPED
            },
            "a shaper is wanted",
        ),
        (
            Plugins {
                template: "hello",
                ..SHIPPED
            },
            "a chat-template is wanted",
        ),
    ] {
        *server.next_plugins.lock().unwrap() = broken;
        let (status, answer) = server.admin(Method::POST, "/v1/plugins/reload", "").await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(
            message.contains(said) && message.contains("were kept"),
            "{message}"
        );
        server.assert_serves().await;
    }
    let (_, plugins) = server.admin(Method::GET, "/v1/plugins", "").await;
    assert_eq!(plugins["generation"], 1);
    let names: Vec<&str> = plugins["plugins"]
        .as_array()
        .unwrap()
        .iter()
        .map(|plugin| plugin["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["openai-router", "request-shaper", "chat-template"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_versions_of_a_function_under_fifty_clients_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Setup {
        data_dir: Some(folder.path().into()),
        ..roomy()
    })
    .await;
    server.deploy("hello", "hello", json!({})).await;
    let body: Arc<str> = "what comes back ".repeat(2000).into();
    let deploys = async {
        for version in 2..=NUM_SWAPS {
            let deployed = server.deploy("hello", "hello", json!({})).await;
            assert_eq!(deployed["version"], version);
        }
    };
    let answered = under_load(deploys, async |_| {
        let response = server.post("/fn/hello/echo", body.to_string()).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.text().await.unwrap(), *body);
    });
    let answered = answered.await;
    assert!(
        answered >= NUM_CLIENTS,
        "only {answered} answers: there was no load"
    );
}
