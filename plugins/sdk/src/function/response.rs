use std::io::{self, Write};

use serde::Serialize;

use super::exchange::Exchange;
use crate::{ApiError, Header};

/// Sends the answer to one request, once.
pub struct Responder(Exchange);

impl Responder {
    pub(super) fn new(exchange: Exchange) -> Responder {
        Responder(exchange)
    }

    /// Sends a whole response, its length included. An invalid status or header is an error before anything was sent.
    pub fn send(
        self,
        status: u16,
        mut headers: Vec<Header>,
        body: impl AsRef<[u8]>,
    ) -> Result<(), ApiError> {
        let body = body.as_ref();
        // Responses without content must not announce a length.
        if !matches!(status, 100..=199 | 204 | 304) {
            headers.push(Header::new("content-length", body.len().to_string()));
        }
        self.0.start(status, &headers)?;
        self.0.write(body)?;
        Ok(self.0.finish()?)
    }

    /// Sends a value as JSON.
    pub fn send_json(self, status: u16, value: &impl Serialize) -> Result<(), ApiError> {
        let body = serde_json::to_vec(value)
            .map_err(|error| ApiError::server(format!("the answer is no JSON: {error}")))?;
        self.send(
            status,
            vec![Header::new("content-type", "application/json")],
            body,
        )
    }

    /// Sends the head of a response whose body is written as it is made. An invalid status or header is an error before
    /// anything was sent.
    pub fn start(self, status: u16, headers: Vec<Header>) -> Result<BodyWriter, ApiError> {
        self.0.start(status, &headers)?;
        Ok(BodyWriter(self.0))
    }
}

/// The body of a response that is under way.
///
/// What is written is sent by `flush`, or when a few kilobytes have come together. Both wait while the client does not read, and
/// fail once it is gone. The body ends when the function's `handle` returns: in good order after `Ok`, abnormally after `Err`.
pub struct BodyWriter(Exchange);

impl BodyWriter {
    /// Ends the body in good order now, for a function that has more to do afterwards.
    pub fn finish(self) -> io::Result<()> {
        self.0.finish()
    }
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
