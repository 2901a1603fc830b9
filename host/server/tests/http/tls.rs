//! https: over both protocols, with a certificate that can be replaced, and with clients that do not speak it.

use std::{sync::Arc, time::Duration};

use reqwest::{Certificate, Client, StatusCode, Version};
use server::{ConnectionLimits, Tls};
use tokio::io::AsyncWriteExt;

use crate::support::{Server, Setup, ask, read_to_close};

/// A certificate for the loopback address and its key, in PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        Self {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    fn tls(&self) -> Arc<Tls> {
        let made = Tls::new(self.certificate.as_bytes(), self.key.as_bytes());
        Arc::new(made.unwrap())
    }

    /// A client that trusts this certificate and no other.
    fn client(&self) -> reqwest::ClientBuilder {
        let trusted = Certificate::from_pem(self.certificate.as_bytes()).unwrap();
        Client::builder()
            .no_proxy()
            .tls_built_in_root_certs(false)
            .add_root_certificate(trusted)
    }
}

async fn start(tls: Arc<Tls>, connections: ConnectionLimits) -> Server {
    Server::start(Setup {
        tls: Some(tls),
        connections,
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn https_is_served_over_http_2_and_to_who_does_not_speak_that_over_http_1() {
    let pair = Pair::new();
    let server = start(pair.tls(), ConnectionLimits::default()).await;
    for (client, version) in [
        (pair.client(), Version::HTTP_2),
        (pair.client().http1_only(), Version::HTTP_11),
    ] {
        let request = client
            .build()
            .unwrap()
            .post(format!("{}/v1/chat/completions", server.url))
            .body(ask("demo", "hello").to_string());
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.version(), version);
        assert!(response.text().await.unwrap().contains("chat.completion"));
    }
}

#[tokio::test]
async fn who_does_not_shake_hands_is_cut_off_while_others_are_served() {
    let pair = Pair::new();
    let short = ConnectionLimits {
        handshake: Duration::from_millis(500),
        ..ConnectionLimits::default()
    };
    let server = start(pair.tls(), short).await;
    // The first bytes of a hello that never comes.
    for said in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut silent = server.connect().await;
        silent.write_all(said).await.unwrap();
        assert_eq!(read_to_close(&mut silent).await, "");
    }
    assert_healthy(&server, pair.client()).await;
}

#[tokio::test]
async fn plain_http_is_turned_away_where_tls_is_spoken() {
    let pair = Pair::new();
    let server = start(pair.tls(), ConnectionLimits::default()).await;
    let mut plain = server.connect().await;
    plain
        .write_all(b"GET /health HTTP/1.1\r\nhost: host\r\n\r\n")
        .await
        .unwrap();
    let said = read_to_close(&mut plain).await;
    assert!(!said.contains("alive"), "{said}");
    assert_healthy(&server, pair.client()).await;
}

#[tokio::test]
async fn a_certificate_that_was_replaced_is_what_new_connections_see() {
    let (old, new) = (Pair::new(), Pair::new());
    let tls = old.tls();
    let server = start(tls.clone(), ConnectionLimits::default()).await;
    let before = old.client().build().unwrap();
    let url = format!("{}/health", server.url);
    assert_eq!(
        before.get(&url).send().await.unwrap().status(),
        StatusCode::OK
    );
    tls.replace(new.certificate.as_bytes(), new.key.as_bytes())
        .unwrap();
    assert_healthy(&server, new.client()).await;
    assert!(
        old.client()
            .build()
            .unwrap()
            .get(&url)
            .send()
            .await
            .is_err()
    );
    // The connection that was there goes on.
    assert_eq!(
        before.get(&url).send().await.unwrap().status(),
        StatusCode::OK
    );
}

async fn assert_healthy(server: &Server, client: reqwest::ClientBuilder) {
    let request = client
        .build()
        .unwrap()
        .get(format!("{}/health", server.url));
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
}
