//! Plugins that misbehave: the client gets a 5xx that names plugin and phase, and the server goes on.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Plugins, SHIPPED, Server, Setup, ask, take_first_steps, wait_until};

/// Asserts the one error that a faulty plugin leads to.
fn assert_blames(body: &str, plugin: &str, phase: &str) {
    let body: Value = serde_json::from_str(body).unwrap();
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("plugin `{plugin}`")), "{message}");
    assert!(message.contains(&format!("`{phase}`")), "{message}");
    assert_eq!(body["error"]["code"], "plugin_failed");
}

#[tokio::test]
async fn a_shaper_that_traps_spins_or_floods_is_named_and_harms_nobody_else() {
    let harms = &[
        "demo",
        "trap",
        "spin",
        "memory-bomb",
        "stack-bomb",
        "huge-return",
        "nan-temperature",
    ];
    let plugins = Plugins {
        shaper: "hostile-shaper",
        ..SHIPPED
    };
    let server = Server::start(Setup {
        plugins,
        names: harms,
        ..Setup::default()
    })
    .await;
    for harm in &harms[1..] {
        let (hostile, good) = tokio::join!(
            server.chat(ask(harm, "hello")),
            server.chat(ask("demo", "hello"))
        );
        assert_eq!(
            good.status(),
            StatusCode::OK,
            "{harm} harmed another request"
        );
        assert_eq!(
            hostile.status(),
            StatusCode::INTERNAL_SERVER_ERROR,
            "{harm}"
        );
        assert_eq!(hostile.headers()["x-should-retry"], "false");
        assert_blames(&hostile.text().await.unwrap(), "hostile-shaper", "shape");
    }
    server.assert_serves().await;
    assert_eq!(server.engine.stats().used_blocks, 0);
}

#[tokio::test]
async fn a_template_that_fails_before_the_first_token_gets_a_status() {
    let plugins = Plugins {
        template: "hostile-template",
        ..SHIPPED
    };
    let server = Server::start(Setup {
        plugins,
        ..Setup::default()
    })
    .await;
    for (order, phase) in [
        ("render:trap", "render"),
        ("parser:trap", "output-parser.new"),
    ] {
        let response = server.chat(ask("demo", order)).await;
        assert_eq!(
            response.status(),
            StatusCode::INTERNAL_SERVER_ERROR,
            "{order}"
        );
        assert_blames(&response.text().await.unwrap(), "hostile-template", phase);
    }
    server.assert_serves().await;
}

#[tokio::test]
async fn a_template_that_fails_after_the_first_token_is_told_in_the_stream() {
    let plugins = Plugins {
        template: "hostile-template",
        ..SHIPPED
    };
    let (open, server) = Server::start_gated(Setup {
        plugins,
        ..Setup::default()
    })
    .await;
    let mut request = ask("demo", "finish:trap");
    request["stream"] = json!(true);
    take_first_steps(&open);
    let response = server.chat(request).await;
    drop(open);
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.text().await.unwrap();
    let events: Vec<&str> = body
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .collect();
    let [first, .., error, done] = events[..] else {
        panic!("{body}")
    };
    assert!(first.contains(r#""role":"assistant""#), "{first}");
    assert_blames(error, "hostile-template", "output-parser.finish");
    assert_eq!(done, "[DONE]");
    server.assert_serves().await;
}

#[tokio::test]
async fn a_router_that_fails_is_named_in_the_hosts_own_words() {
    let plugins = Plugins {
        router: "hostile-router",
        ..SHIPPED
    };
    let server = Server::start(Setup {
        plugins,
        ..Setup::default()
    })
    .await;
    for (order, phase) in [
        ("parse:trap", "parse"),
        ("parse:spin", "parse"),
        ("parse:bad-status", "parse"),
        ("parse:bad-header", "parse"),
        ("headers:many-headers", "reply.headers"),
        ("push:trap", "reply.push"),
        ("push:huge-return", "reply.push"),
    ] {
        let response = server.post("/hostile", order).await;
        assert_eq!(
            response.status(),
            StatusCode::INTERNAL_SERVER_ERROR,
            "{order}"
        );
        assert_blames(&response.text().await.unwrap(), "hostile-router", phase);
    }
    let good = server.post("/hostile", "hello").await;
    assert_eq!(good.status(), StatusCode::OK);
    assert!(good.text().await.unwrap().ends_with("done\n"));
}

/// Every order that `hostile-function` knows.
const ORDERS: [&str; 47] = [
    "spin",
    "memory-bomb",
    "stack-bomb",
    "trap",
    "log-flood",
    "no-answer",
    "never-answer",
    "answer-twice",
    "error-answer",
    "drop-body",
    "forget-body",
    "hold-body",
    "table-bomb",
    "huge-response",
    "endless-response",
    "long-length",
    "short-length",
    "status-99",
    "split-header",
    "many-headers",
    "huge-header",
    "own-connection",
    "no-read",
    "half-read",
    "break-off",
    "refuse",
    "huge-refusal",
    "hold-generation",
    "many-generations",
    "no-inputs",
    "zero-samples",
    "many-samples",
    "bad-token",
    "nan-temperature",
    "huge-prompt",
    "generate",
    "giant-key",
    "giant-value",
    "path-keys",
    "fill-store",
    "empty-store",
    "random-bomb",
    "print-flood",
    "environment",
    "time",
    "settings",
    "fetch?http://127.0.0.1:1/",
];

/// A server with functions: `hello`, and one that obeys hostile orders, with all that it asks for and short limits.
async fn with_hostile_function() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Setup {
        data_dir: Some(folder.path().into()),
        ..Setup::default()
    })
    .await;
    server.deploy("hello", "hello", json!({})).await;
    let grants = [
        "log",
        "config",
        "clock",
        "random",
        "key-value",
        "inference",
        "outgoing-http",
    ];
    let terms = json!({"grants": grants, "limits": {"cpu_ms": 100, "timeout_ms": 500}});
    server
        .deploy("hostile-function", "hostile-function", terms)
        .await;
    (folder, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_function_does_no_other_request_is_harmed() {
    let (_folder, server) = with_hostile_function().await;
    for order in ORDERS {
        let path = format!("/fn/hostile-function/{order}");
        // What becomes of the hostile request itself is for the sandbox's tests: here it may fail in any way.
        let hostile = async {
            if let Ok(response) = server
                .client
                .post(format!("{}{path}", server.url))
                .body("x")
                .send()
                .await
            {
                let _ = response.bytes().await;
            }
        };
        let (_, chat, hello) = tokio::join!(
            hostile,
            server.chat(ask("demo", "are you well?")),
            server.get("/fn/hello/x")
        );
        assert_eq!(chat.status(), StatusCode::OK, "{order} harmed a chat");
        assert_eq!(
            hello.text().await.unwrap(),
            "Hello.\n",
            "{order} harmed a function"
        );
    }
    let nothing_left = async || {
        let metrics = server.metrics().await;
        metrics.contains("host_function_instances{model_name=\"demo\"} 0")
            && server.engine.stats().used_blocks == 0
    };
    wait_until(nothing_left).await;
}

#[tokio::test]
async fn a_client_that_sends_its_body_slowly_is_cut_off_at_the_functions_deadline() {
    let (_folder, server) = with_hostile_function().await;
    server
        .deploy("patient", "hello", json!({"limits": {"timeout_ms": 300}}))
        .await;
    let (send, sent) = tokio::sync::mpsc::channel::<Result<bytes::Bytes, std::io::Error>>(1);
    let body =
        futures_util::stream::unfold(
            sent,
            |mut sent| async move { Some((sent.recv().await?, sent)) },
        );
    send.send(Ok("half of it".into())).await.unwrap();
    let response = server
        .post("/fn/patient/echo", reqwest::Body::wrap_stream(body))
        .await;
    // The other half never comes; what came back so far is not taken for the whole.
    assert!(response.bytes().await.is_err());
    server.assert_serves().await;
    drop(send);
}
