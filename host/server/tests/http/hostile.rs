//! Plugins that misbehave: the client gets a 5xx that names plugin and phase, and the server goes on.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Plugins, SHIPPED, Server, Setup, ask, take_first_steps};

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
