//! What cannot be pulled or pushed, and what is said of it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    thread,
    time::Duration,
};

use artifact::{Credentials, Digest, Reference, RegistryClient, RegistryError, RegistryOptions};
use oci_client::{
    client::{ClientConfig, ClientProtocol, Config, ImageLayer},
    manifest::OciImageManifest,
    secrets::RegistryAuth,
};

use crate::support::{PASSWORD, Registry, USER, client, shipped};

/// What went wrong, and that it is said of the right thing.
async fn failure(client: &RegistryClient, reference: &Reference) -> RegistryError {
    let error = client.pull(reference).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&reference.to_string()), "{text}");
    error
}

#[tokio::test]
async fn a_component_that_was_changed_in_the_storage_is_refused() {
    let (registry, client) = (Registry::open(), client());
    let reference = registry.reference("shaper:1.0");
    let wasm = shipped("request-shaper.wasm");
    let pushed = client.push(&reference, wasm.clone()).await.unwrap();
    let blob = registry.blob(&pushed.digest);
    let mut changed = wasm.clone();
    changed[wasm.len() / 2] ^= 1;
    let longer = [wasm.as_slice(), b"more"].concat();
    let shorter = &wasm[..wasm.len() - 1];
    for stored in [changed.as_slice(), &longer, shorter] {
        fs::write(&blob, stored).unwrap();
        let error = failure(&client, &reference).await;
        assert!(matches!(error, RegistryError::OtherLayer { .. }), "{error}");
        assert!(
            error.to_string().contains(&pushed.digest.to_string()),
            "{error}"
        );
    }
    fs::write(&blob, &wasm).unwrap();
    client.pull(&reference).await.unwrap();
}

#[tokio::test]
async fn a_component_that_was_lost_in_the_storage_is_missed() {
    let (registry, client) = (Registry::open(), client());
    let reference = registry.reference("shaper:1.0");
    let pushed = client
        .push(&reference, shipped("request-shaper.wasm"))
        .await
        .unwrap();
    fs::remove_file(registry.blob(&pushed.digest)).unwrap();
    let error = failure(&client, &reference).await;
    assert!(error.to_string().contains("but nothing"), "{error}");
}

#[tokio::test]
async fn a_manifest_that_was_changed_in_the_storage_is_refused() {
    let (registry, client) = (Registry::open(), client());
    let reference = registry.reference("shaper:1.0");
    let other = registry.reference("shaper:2.0");
    let pushed = client
        .push(&reference, shipped("request-shaper.wasm"))
        .await
        .unwrap();
    let second = client
        .push(&other, shipped("hostile-shaper.wasm"))
        .await
        .unwrap();
    let manifest = fs::read(registry.blob(&second.manifest_digest)).unwrap();
    fs::write(registry.blob(&pushed.manifest_digest), manifest).unwrap();
    for reference in [reference.at(pushed.manifest_digest), reference] {
        let error = failure(&client, &reference).await;
        assert!(
            matches!(error, RegistryError::OtherManifest { .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let (registry, client) = (Registry::open(), client());
    client
        .push(
            &registry.reference("shaper:1.0"),
            shipped("request-shaper.wasm"),
        )
        .await
        .unwrap();
    let absent = registry.reference("shaper:1.0").at(Digest::of(b"absent"));
    for reference in [
        registry.reference("other:1.0"),
        registry.reference("shaper:2.0"),
        absent,
    ] {
        let error = failure(&client, &reference).await;
        assert!(matches!(error, RegistryError::NotFound(_)), "{error}");
    }
}

#[tokio::test]
async fn a_container_image_is_not_taken_for_a_component() {
    let registry = Registry::open();
    let reference = registry.reference("image:1.0");
    // Also puts the cryptography in its place, without which no other client can be made.
    let client = client();
    let config = ClientConfig {
        protocol: ClientProtocol::Http,
        ..Default::default()
    };
    let other = oci_client::Client::try_from(config).unwrap();
    let name = oci_client::Reference::with_tag(
        reference.registry().into(),
        reference.repository().into(),
        "1.0".into(),
    );
    let layers = [ImageLayer::oci_v1(b"a tar archive".to_vec(), None)];
    let config = Config::oci_v1(b"{}".to_vec(), None);
    let manifest = OciImageManifest::build(&layers, &config, None);
    other
        .push(
            &name,
            &layers,
            config,
            &RegistryAuth::Anonymous,
            Some(manifest),
        )
        .await
        .unwrap();
    let error = failure(&client, &reference).await;
    assert!(matches!(error, RegistryError::OtherShape { .. }), "{error}");
    assert!(
        error.to_string().contains("it is a container image"),
        "{error}"
    );
}

#[tokio::test]
async fn a_component_beyond_the_limit_is_not_even_asked_for() {
    let (registry, unlimited) = (Registry::open(), client());
    let reference = registry.reference("shaper:1.0");
    let wasm = shipped("request-shaper.wasm");
    let limited = RegistryClient::new(RegistryOptions {
        max_len: wasm.len() as u64 - 1,
        ..Default::default()
    })
    .unwrap();
    let error = limited.push(&reference, wasm.clone()).await.unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}");

    let pushed = unlimited.push(&reference, wasm).await.unwrap();
    // Had it been asked for, it would be missed.
    fs::remove_file(registry.blob(&pushed.digest)).unwrap();
    let error = failure(&limited, &reference).await;
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn a_private_registry_lets_in_whom_it_knows() {
    let registry = Registry::private();
    let reference = registry.reference("shaper:1.0");
    let wasm = shipped("request-shaper.wasm");
    let named = |user: &str, password: &str| {
        let credentials = Credentials::new(Some(user.into()), Some(password.into())).unwrap();
        RegistryClient::new(RegistryOptions {
            credentials,
            ..Default::default()
        })
        .unwrap()
    };
    let known = named(USER, PASSWORD);
    known.push(&reference, wasm.clone()).await.unwrap();
    assert!(known.pull(&reference).await.unwrap().wasm == wasm);
    for unknown in [client(), named(USER, "wrong"), named("", "no-such-token")] {
        let error = failure(&unknown, &reference).await;
        assert!(matches!(error, RegistryError::Unauthorized(_)), "{error}");
        let error = unknown.push(&reference, wasm.clone()).await.unwrap_err();
        assert!(matches!(error, RegistryError::Unauthorized(_)), "{error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
}

#[tokio::test]
async fn only_components_are_pushed_and_only_to_tags() {
    let (registry, client) = (Registry::open(), client());
    let reference = registry.reference("shaper:1.0");
    let error = client
        .push(&reference, b"\0asm\x01\0\0\0".to_vec())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("it is a core module"), "{error}");
    let digest = reference.at(Digest::of(b""));
    let error = client
        .push(&digest, shipped("request-shaper.wasm"))
        .await
        .unwrap_err();
    assert!(matches!(error, RegistryError::NoTag(_)), "{error}");
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let reference = format!("{address}/shaper:1.0").parse().unwrap();
    let error = failure(&client(), &reference).await;
    assert!(
        matches!(error, RegistryError::Unreachable { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_registry_that_never_answers_is_not_waited_for_longer_than_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let reference = format!("{}/shaper:1.0", listener.local_addr().unwrap());
    let impatient = RegistryClient::new(RegistryOptions {
        timeout: Duration::from_millis(50),
        ..Default::default()
    })
    .unwrap();
    let error = failure(&impatient, &reference.parse().unwrap()).await;
    assert!(matches!(error, RegistryError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn only_this_machine_is_spoken_to_without_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let first_byte = thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
        byte[0]
    });
    // Leads to this machine as well, and is no loopback address.
    let reference = format!("0.0.0.0:{port}/shaper:1.0").parse().unwrap();
    let error = failure(&client(), &reference).await;
    assert!(
        matches!(error, RegistryError::Unreachable { .. }),
        "{error}"
    );
    const TLS_HANDSHAKE: u8 = 0x16;
    assert_eq!(first_byte.join().unwrap(), TLS_HANDSHAKE);
}

#[tokio::test]
async fn a_token_that_is_none_is_an_error_and_no_panic() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let challenge = format!("Bearer realm=\"http://{address}/token\",service=\"test\"");
    let hostile = thread::spawn(move || {
        for (status, header, body) in [
            (
                "401 Unauthorized",
                format!("WWW-Authenticate: {challenge}"),
                "",
            ),
            (
                "200 OK",
                "Content-Type: application/json".into(),
                r#"{"token": "a\nb"}"#,
            ),
        ] {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = BufReader::new(connection.try_clone().unwrap()).lines();
            while request.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let length = body.len();
            write!(
                connection,
                "HTTP/1.1 {status}\r\n{header}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    let reference = format!("{address}/shaper:1.0").parse().unwrap();
    let error = failure(&client(), &reference).await;
    assert!(matches!(error, RegistryError::Refused { .. }), "{error}");
    hostile.join().unwrap();
}
