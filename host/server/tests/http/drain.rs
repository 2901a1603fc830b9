//! The end of the server: what runs may end, what is new is refused, and what does not end is cut off.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Server, Setup, ask, read_to_close, take_first_steps, wait_until};

/// Waits until nobody listens any more.
async fn refuses(address: &str) {
    wait_until(async || TcpStream::connect(address).await.is_err()).await;
}

#[tokio::test]
async fn a_stream_may_end_while_new_connections_are_refused_and_idle_ones_closed() {
    let (open, server) = Server::start_gated(Setup::default()).await;
    let address = server.address();
    let mut request = ask("demo", "hello");
    request["stream"] = json!(true);
    take_first_steps(&open);
    let response = server.chat(request).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: host\r\n\r\n")
        .await
        .unwrap();
    let mut bytes = [0; 1024];
    assert!(idle.read(&mut bytes).await.unwrap() > 0);
    let stopping = tokio::spawn(server.stop());
    refuses(&address).await;
    // Cleanly: whoever sends the next request here finds the connection closed, and no half of an answer.
    assert_eq!(read_to_close(&mut idle).await, "");
    drop(open);
    assert!(response.text().await.unwrap().ends_with("data: [DONE]\n\n"));
    assert!(stopping.await.unwrap(), "nothing was cut off");
}

#[tokio::test]
async fn what_has_not_ended_at_the_deadline_is_cut_off_and_said_to_be() {
    let (open, server) = Server::start_gated(Setup {
        drain: Duration::ZERO,
        ..Setup::default()
    })
    .await;
    let mut request = ask("demo", "hello");
    request["stream"] = json!(true);
    take_first_steps(&open);
    let response = server.chat(request).await;
    assert!(!server.stop().await, "it says that something was cut off");
    assert!(
        response.text().await.is_err(),
        "no client takes it for a whole one"
    );
    drop(open);
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).unwrap();
    [&[0, 0, len, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// `GET /ready` as HPACK without its tables: GET and http are indexed, path and authority literal.
fn get_ready(stream: u8) -> Vec<u8> {
    const END_OF_STREAM_AND_HEADERS: u8 = 0x5;
    let headers = [&[0x82, 0x86, 0x04, 6][..], b"/ready", &[0x01, 4], b"host"].concat();
    frame(0x1, END_OF_STREAM_AND_HEADERS, stream, &headers)
}

/// Reads until these bytes came.
async fn read_until(stream: &mut TcpStream, wanted: &[u8]) {
    let mut said = Vec::new();
    while !said.windows(wanted.len()).any(|part| part == wanted) {
        let mut bytes = [0; 4096];
        let len = stream.read(&mut bytes).await.unwrap();
        assert!(len > 0, "it closed before {wanted:?}: {said:?}");
        said.extend_from_slice(&bytes[..len]);
    }
}

#[tokio::test]
async fn a_server_that_stops_says_that_it_is_not_ready_to_whom_is_still_connected() {
    let server = Server::start(Setup::default()).await;
    let address = server.address();
    // Over HTTP/2 a connection outlives the beginning of the end until its client has answered a ping, which this one does not.
    let mut client = server.connect().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = frame(0x4, 0, 0, &[]);
    client
        .write_all(&[&preface[..], &settings, &get_ready(1)].concat())
        .await
        .unwrap();
    read_until(&mut client, b"ready\n").await;
    let stopping = tokio::spawn(server.stop());
    refuses(&address).await;
    client.write_all(&get_ready(3)).await.unwrap();
    read_until(&mut client, b"shutting down\n").await;
    drop(client);
    assert!(stopping.await.unwrap());
}
