//! Slow, silent, large and too many: what connections are held to while others are served.

use std::time::Duration;

use reqwest::{StatusCode, Version};
use serde_json::{Value, json};
use server::ConnectionLimits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Server, Setup, ask, read_to_close, take_first_steps};

/// Longer than a client that means well needs on a busy machine.
const SHORT: Duration = Duration::from_millis(500);

async fn start(connections: ConnectionLimits) -> Server {
    Server::start(Setup {
        connections,
        ..Setup::default()
    })
    .await
}

/// Sends a byte after every answer that another client gets, until the server has enough of it; what it says then.
async fn drip(server: &Server, begin: &str) -> String {
    let mut slow = server.connect().await;
    slow.write_all(begin.as_bytes()).await.unwrap();
    let mut said = vec![0; 4096];
    loop {
        assert_eq!(server.get("/health").await.status(), StatusCode::OK);
        match slow.try_read(&mut said) {
            Ok(0) => return String::new(),
            Ok(len) => {
                let rest = read_to_close(&mut slow).await;
                return String::from_utf8_lossy(&said[..len]).into_owned() + &rest;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return String::new(),
        }
        if slow.write_all(b"a").await.is_err() {
            return String::new();
        }
    }
}

/// Has a connection answer `/health`, and leaves it open.
async fn ask_health(stream: &mut TcpStream) {
    let request = b"GET /health HTTP/1.1\r\nhost: host\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut said = String::new();
    while !said.ends_with("alive\n") {
        let mut bytes = [0; 1024];
        let len = stream.read(&mut bytes).await.unwrap();
        assert!(len > 0, "it closed after {said:?}");
        said += std::str::from_utf8(&bytes[..len]).unwrap();
    }
}

#[tokio::test]
async fn who_drips_a_head_is_cut_off_while_others_are_served() {
    let server = start(ConnectionLimits {
        head: SHORT,
        ..ConnectionLimits::default()
    })
    .await;
    let said = drip(&server, "GET /health HTTP/1.1\r\nx-slow: ").await;
    assert_eq!(said, "", "it was never asked anything");
    server.assert_serves().await;
}

#[tokio::test]
async fn who_drips_the_head_of_a_later_request_is_cut_off_too() {
    let server = start(ConnectionLimits {
        head: SHORT,
        ..ConnectionLimits::default()
    })
    .await;
    let mut stream = server.connect().await;
    ask_health(&mut stream).await;
    stream.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
    assert_eq!(read_to_close(&mut stream).await, "");
}

#[tokio::test]
async fn who_drips_a_body_is_told_and_cut_off_while_others_are_served() {
    let server = start(ConnectionLimits {
        body: SHORT,
        ..ConnectionLimits::default()
    })
    .await;
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nhost: host\r\ncontent-length: 1000000\r\n\r\n";
    let said = drip(&server, head).await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    server.assert_serves().await;
}

#[tokio::test]
async fn who_connects_and_says_nothing_is_cut_off() {
    let server = start(ConnectionLimits {
        head: SHORT,
        ..ConnectionLimits::default()
    })
    .await;
    for said in ["", "P", "PRI * HTTP/2.0\r\n"] {
        let mut silent = server.connect().await;
        silent.write_all(said.as_bytes()).await.unwrap();
        assert_eq!(read_to_close(&mut silent).await, "", "{said}");
    }
    server.assert_serves().await;
}

#[tokio::test]
async fn a_connection_without_a_next_request_is_closed() {
    let server = start(ConnectionLimits {
        idle: SHORT,
        ..ConnectionLimits::default()
    })
    .await;
    let mut idle = server.connect().await;
    ask_health(&mut idle).await;
    assert_eq!(read_to_close(&mut idle).await, "");
}

#[tokio::test]
async fn an_answer_may_take_longer_than_a_head_and_a_pause_between_requests() {
    let (open, server) = Server::start_gated(Setup {
        connections: ConnectionLimits {
            head: SHORT,
            idle: SHORT,
            ..ConnectionLimits::default()
        },
        ..Setup::default()
    })
    .await;
    let mut request = ask("demo", "hello");
    request["stream"] = json!(true);
    take_first_steps(&open);
    let response = server.chat(request).await;
    // When this one has been cut off, the limits have passed for the stream as well.
    for _ in 0..3 {
        let mut silent = server.connect().await;
        assert_eq!(read_to_close(&mut silent).await, "");
    }
    drop(open);
    assert!(response.text().await.unwrap().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn one_connection_too_many_is_told_503_and_has_a_place_again_when_another_leaves() {
    let server = start(ConnectionLimits {
        max_connections: 2,
        ..ConnectionLimits::default()
    })
    .await;
    let mut first = server.connect().await;
    ask_health(&mut first).await;
    // The client's one connection.
    assert_eq!(server.get("/health").await.status(), StatusCode::OK);
    let mut third = server.connect().await;
    third
        .write_all(b"GET /health HTTP/1.1\r\nhost: host\r\n\r\n")
        .await
        .unwrap();
    let told = read_to_close(&mut third).await;
    assert!(told.starts_with("HTTP/1.1 503 "), "{told}");
    assert!(told.contains("\r\nconnection: close\r\n"), "{told}");
    assert!(told.contains("\r\nretry-after: 1\r\n"), "{told}");
    let (_, body) = told.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["error"]["code"], "overloaded");
    let metrics = server.metrics().await;
    assert!(
        metrics.contains("host_connections{model_name=\"demo\"} 2"),
        "{metrics}"
    );
    assert!(
        metrics.contains("host_connections_refused_total{model_name=\"demo\"} 1"),
        "{metrics}"
    );
    drop(first);
    crate::support::wait_until(async || {
        let metrics = server.metrics().await;
        metrics.contains("host_connections{model_name=\"demo\"} 1")
    })
    .await;
    ask_health(&mut server.connect().await).await;
}

#[tokio::test]
async fn a_head_that_is_too_large_gets_431_over_either_protocol() {
    let server = start(ConnectionLimits::default()).await;
    let many = (0..101)
        .map(|number| format!("x-{number}: a\r\n"))
        .collect();
    let long = format!("x-long: {}\r\n", "a".repeat(70 << 10));
    for headers in [many, long] {
        let mut stream = server.connect().await;
        let request = format!("GET /health HTTP/1.1\r\nhost: host\r\n{headers}\r\n");
        // It need not read all of it.
        let _ = stream.write_all(request.as_bytes()).await;
        let said = read_to_close(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    }
    let request = h2c().get(format!("{}/health", server.url));
    let response = request.header("x-long", "a".repeat(70 << 10)).send().await;
    assert_eq!(
        response.unwrap().status(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    server.assert_serves().await;
}

fn h2c() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy();
    builder.http2_prior_knowledge().build().unwrap()
}

#[tokio::test]
async fn http_2_is_served_in_the_clear_to_who_knows_that_it_is_with_many_streams_at_once() {
    let server = start(ConnectionLimits::default()).await;
    let client = h2c();
    let answer = async |number: usize| {
        let mut request = ask("demo", &format!("question {number}"));
        request["stream"] = json!(true);
        let url = format!("{}/v1/chat/completions", server.url);
        let response = client
            .post(url)
            .body(request.to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        let body = response.text().await.unwrap();
        assert!(body.ends_with("data: [DONE]\n\n"), "{body}");
    };
    futures_util::future::join_all((0..20).map(answer)).await;
    let metrics = server.metrics().await;
    assert!(
        metrics.contains("host_connections{model_name=\"demo\"} 2"),
        "{metrics}"
    );
}
