//! Responses that no client should see as they were meant:
//!
//! * `huge-response`: [`hostile::HUGE_LEN`] bytes of body at once
//! * `endless-response`: a body without end
//! * `long-length`, `short-length`: announces 1,000 bytes or 1, and sends 5
//! * `status-N`: answers with status N
//! * `split-header`: a header whose value would split the response
//! * `many-headers`: 100,000 headers
//! * `huge-header`: a header of [`hostile::HUGE_LEN`] bytes
//! * `own-connection`: headers that belong to whoever holds the connection
//! * `no-read`: answers without having looked at the body
//! * `half-read`: answers after it has read a kilobyte of the body, and drops the rest
//! * `break-off`: fails in the middle of the body
//! * `refuse`: an ordinary refusal, status 403
//! * `huge-refusal`: a refusal whose message has [`hostile::HUGE_LEN`] bytes
//!
//! Where the host refuses to send such a thing, the SDK answers with status 500 and says which.

use std::io::{Read, Write};

use hostile::huge_text;
use plugin_sdk::function::{Request, Responder};
use plugin_sdk::{ApiError, Header};

pub(crate) fn obey(word: &str, mut request: Request, response: Responder) -> Result<(), ApiError> {
    let send = |response: Responder, headers| response.send(200, headers, "hello");
    match word {
        "huge-response" => response.send(200, Vec::new(), huge_text()),
        "endless-response" => {
            let mut body = response.start(200, Vec::new())?;
            loop {
                body.write_all(b"and so on ")?;
            }
        }
        "long-length" => announce(response, "1000"),
        "short-length" => announce(response, "1"),
        "split-header" => send(
            response,
            vec![Header::new("x-a", "b\r\nx-c: d\r\n\r\n<html>")],
        ),
        "many-headers" => {
            let header = |number| Header::new(format!("x-{number}"), "1");
            send(response, (0..100_000).map(header).collect())
        }
        "huge-header" => send(response, vec![Header::new("x-a", huge_text())]),
        "own-connection" => {
            let own = [
                ("transfer-encoding", "chunked"),
                ("connection", "upgrade"),
                ("upgrade", "h2c"),
            ];
            send(
                response,
                own.map(|(name, value)| Header::new(name, value)).into(),
            )
        }
        "no-read" => send(response, Vec::new()),
        "half-read" => {
            let len = request.body().read(&mut [0; 1024])?;
            response.send(200, Vec::new(), format!("read {len} bytes"))
        }
        "break-off" => {
            let mut body = response.start(200, Vec::new())?;
            body.write_all(b"half of")?;
            body.flush()?;
            Err(ApiError::server(
                "a hostile function was asked to break off",
            ))
        }
        "refuse" => {
            let why = "a hostile function was asked to refuse";
            Err(ApiError::new(403, "permission_error", why))
        }
        "huge-refusal" => Err(ApiError::server(huge_text())),
        _ => match word
            .strip_prefix("status-")
            .and_then(|status| status.parse().ok())
        {
            Some(status) => response.send(status, Vec::new(), ""),
            None => {
                let body = request.read_body(1 << 20)?;
                response.send(200, Vec::new(), [b"honest: ", &body[..]].concat())
            }
        },
    }
}

/// Sends 5 bytes under a length that is another.
fn announce(response: Responder, len: &str) -> Result<(), ApiError> {
    let mut body = response.start(200, vec![Header::new("content-length", len)])?;
    body.write_all(b"hello")?;
    Ok(body.finish()?)
}
