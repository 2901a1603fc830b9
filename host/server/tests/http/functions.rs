//! Functions over HTTP: deployed, called, tried as canaries, taken back, and there again after a restart.

use artifact::Digest;
use bytes::Bytes;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{ADMIN_TOKEN, Server, Setup, wait_until, wasm};

/// A server that keeps functions, and the folder that it keeps them in.
async fn start(setup: Setup) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Setup {
        data_dir: Some(folder.path().into()),
        ..setup
    })
    .await;
    (folder, server)
}

impl Server {
    /// Asks the administrators' API; the status and the JSON of the answer.
    pub(crate) async fn admin(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> (StatusCode, Value) {
        let request = self
            .client
            .request(method, format!("{}{path}", self.admin_url))
            .bearer_auth(ADMIN_TOKEN)
            .body(body);
        let response = request.send().await.unwrap();
        let status = response.status();
        (status, response.json().await.unwrap())
    }

    async fn upload(&self, component: Vec<u8>) -> Digest {
        let digest = Digest::of(&component);
        let path = format!("/v1/components/{digest}");
        let (status, answer) = self.admin(Method::PUT, &path, component).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        digest
    }

    async fn order(&self, name: &str, order: Value) -> (StatusCode, Value) {
        let path = format!("/v1/functions/{name}/versions");
        self.admin(Method::POST, &path, order.to_string()).await
    }

    /// Deploys a built component under `/fn/NAME/*` on these terms.
    pub(crate) async fn deploy(&self, name: &str, component: &str, terms: Value) -> Value {
        let digest = self.upload(wasm(component)).await;
        let mut order =
            json!({"component": digest, "route": format!("/fn/{name}/*"), "access": "public"});
        order
            .as_object_mut()
            .unwrap()
            .extend(terms.as_object().unwrap().clone());
        let (status, answer) = self.order(name, order).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        self.client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap()
    }
}

fn message(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_function_is_deployed_called_and_removed() {
    let (_folder, server) = start(Setup::default()).await;
    assert_eq!(
        server.get("/fn/hello/x").await.status(),
        StatusCode::NOT_FOUND
    );
    let deployed = server.deploy("hello", "hello", json!({})).await;
    assert_eq!(deployed["version"], 1);
    let response = server.get("/fn/hello/x").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().contains_key("x-request-id"));
    assert_eq!(response.text().await.unwrap(), "Hello.\n");
    let (_, listed) = server.admin(Method::GET, "/v1/functions", "").await;
    assert_eq!(listed["functions"][0]["name"], "hello");
    let (status, _) = server
        .admin(Method::DELETE, "/v1/functions/hello", "")
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        server.get("/fn/hello/x").await.status(),
        StatusCode::NOT_FOUND
    );
    server.assert_serves().await;
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let (_folder, server) = start(Setup::default()).await;
    server.deploy("hello", "hello", json!({})).await;
    let (send, sent) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let body =
        futures_util::stream::unfold(
            sent,
            |mut sent| async move { Some((sent.recv().await?, sent)) },
        );
    send.send(Ok("one".into())).await.unwrap();
    let mut response = server
        .post("/fn/hello/echo", reqwest::Body::wrap_stream(body))
        .await;
    // Each piece is back before the next one is sent.
    assert_eq!(response.chunk().await.unwrap().unwrap(), "one");
    send.send(Ok("two".into())).await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "two");
    drop(send);
    assert_eq!(response.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn a_canary_gets_its_share_and_is_promoted_or_taken_back() {
    let (_folder, server) = start(Setup::default()).await;
    server.deploy("hello", "hello", json!({})).await;
    // Another version of the same function, told apart by its metrics.
    server
        .deploy("hello", "hello", json!({"canary": 20, "max_queue": 7}))
        .await;
    for _ in 0..50 {
        assert_eq!(
            server.get("/fn/hello/x").await.text().await.unwrap(),
            "Hello.\n"
        );
    }
    let answered = async |version: u32| {
        let metrics = server.metrics().await;
        let wanted = format!(r#"function="hello",version="{version}",outcome="answered""#);
        let line = metrics.lines().find(|line| {
            line.starts_with("host_function_requests_total") && line.contains(&wanted)
        });
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    };
    wait_until(async || (answered(1).await, answered(2).await) == (40, 10)).await;
    let (_, promoted) = server
        .admin(Method::POST, "/v1/functions/hello/promote", "")
        .await;
    assert_eq!(promoted["live"], json!({"stable": 2, "previous": 1}));
    let (_, back) = server
        .admin(Method::POST, "/v1/functions/hello/rollback", "")
        .await;
    assert_eq!(back["live"], json!({"stable": 1}));
    let (status, again) = server
        .admin(Method::POST, "/v1/functions/hello/rollback", "")
        .await;
    assert_eq!(status, StatusCode::CONFLICT, "{again}");
}

#[tokio::test]
async fn what_is_deployed_outlives_the_process() {
    let (folder, server) = start(Setup::default()).await;
    server.deploy("hello", "hello", json!({})).await;
    assert!(server.stop().await);
    let server = Server::start(Setup {
        data_dir: Some(folder.path().into()),
        ..Setup::default()
    })
    .await;
    assert_eq!(
        server.get("/fn/hello/x").await.text().await.unwrap(),
        "Hello.\n"
    );
}

#[tokio::test]
async fn a_bad_order_is_refused_in_words_and_changes_nothing() {
    let (_folder, server) = start(Setup::default()).await;
    server.deploy("taken", "hello", json!({})).await;
    // What nothing names is swept away by the next deployment, so these come after it.
    let hello = server.upload(wasm("hello")).await;
    let shaper = server.upload(wasm("request-shaper")).await;
    let junk = server.upload(b"not a component".to_vec()).await;
    let absent = Digest::of(b"never uploaded");
    for (name, order, status, said) in [
        (
            "Hello",
            json!({"component": hello, "route": "/a"}),
            400,
            "lower-case",
        ),
        (
            "a",
            json!({"component": hello, "route": "a"}),
            400,
            "begin with `/`",
        ),
        (
            "a",
            json!({"component": hello, "route": "/a", "grant": []}),
            400,
            "grant",
        ),
        (
            "a",
            json!({"component": hello, "route": "/a", "grants": ["disk"]}),
            400,
            "disk",
        ),
        (
            "a",
            json!({"component": absent, "route": "/a"}),
            404,
            "upload it first",
        ),
        (
            "a",
            json!({"component": hello, "route": "/health"}),
            409,
            "/health",
        ),
        (
            "a",
            json!({"component": hello, "route": "/v1/models/x"}),
            409,
            "/v1/models/*",
        ),
        (
            "a",
            json!({"component": hello, "route": "/fn/taken/*"}),
            409,
            "`taken`",
        ),
        (
            "request-shaper",
            json!({"component": hello, "route": "/a"}),
            409,
            "name of a plugin",
        ),
        (
            "a",
            json!({"component": hello, "route": "/a", "canary": 5}),
            409,
            "no stable version",
        ),
        (
            "a",
            json!({"component": shaper, "route": "/a", "grants": ["log", "config"]}),
            422,
            "a function is wanted",
        ),
        (
            "a",
            json!({"component": junk, "route": "/a"}),
            422,
            "not WebAssembly",
        ),
    ] {
        let (got, answer) = server.order(name, order.clone()).await;
        assert_eq!(got.as_u16(), status, "{order}: {answer}");
        assert!(message(&answer).contains(said), "{order}: {answer}");
    }
    let (_, listed) = server.admin(Method::GET, "/v1/functions", "").await;
    assert_eq!(listed["functions"].as_array().unwrap().len(), 1);
    let damaged = format!("/v1/components/{absent}");
    let (status, answer) = server.admin(Method::PUT, &damaged, "something else").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
}

#[tokio::test]
async fn only_who_has_the_token_administrates_and_only_who_has_a_key_calls_what_is_not_public() {
    let (_folder, server) = start(Setup {
        api_keys: &["the-key"],
        ..Setup::default()
    })
    .await;
    let url = format!("{}/v1/functions", server.admin_url);
    for token in ["", "the-key", "the-admins-toke"] {
        let response = server
            .client
            .get(&url)
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{token}");
    }
    server.deploy("open", "hello", json!({})).await;
    server
        .deploy("shut", "hello", json!({"access": "key"}))
        .await;
    assert_eq!(server.get("/fn/open/x").await.status(), StatusCode::OK);
    assert_eq!(
        server.get("/fn/shut/x").await.status(),
        StatusCode::UNAUTHORIZED
    );
    let with_key = server
        .client
        .get(format!("{}/fn/shut/x", server.url))
        .bearer_auth("the-key");
    assert_eq!(with_key.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_server_without_a_folder_says_how_to_get_one() {
    let server = Server::start(Setup::default()).await;
    let digest = Digest::of(b"x");
    let (status, answer) = server
        .order("a", json!({"component": digest, "route": "/a"}))
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(message(&answer).contains("--data-dir"), "{answer}");
}
