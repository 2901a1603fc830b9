//! The access log: one line for each request, when its answer has ended or was given up. Bodies, queries and secrets are not in it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;

use crate::{body::Body, pipeline::Arrival};

/// The target of the lines, by which `--log-level` turns them on and off.
const TARGET: &str = "host::access";

/// Longest path that is written whole, in bytes.
const MAX_PATH: usize = 256;

/// What nginx writes for a client that left before it was answered.
const CLIENT_LEFT: u16 = 499;

/// One request's line. It is written when this is dropped.
pub(crate) struct AccessLine {
    /// Of the request, with whose it turns out to be.
    pub(crate) arrival: Arrival,
    method: Method,
    path: String,
    importance: Importance,
    /// Status, and how long it took to the head.
    head: Option<(u16, Duration)>,
    bytes: u64,
    end: End,
}

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Importance {
    /// Clients' requests.
    Info,
    /// Those that load balancers make every few seconds.
    Debug,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client has all of it, as far as the host knows.
    Whole,
    /// It was given up before its end, by the client or by a fault.
    CutOff,
}

impl AccessLine {
    /// The line of a request that came just now.
    pub(crate) fn begin<B>(request: &Request<B>, arrival: Arrival) -> Self {
        let mut path = request.uri().path().to_owned();
        if path.len() > MAX_PATH {
            // Paths are ASCII, but a longer one would still be no reason to panic.
            path.truncate(path.floor_char_boundary(MAX_PATH));
            path.push('…');
        }
        Self {
            arrival,
            method: request.method().clone(),
            path,
            importance: Importance::Info,
            head: None,
            bytes: 0,
            end: End::CutOff,
        }
    }

    /// Follows the response to its last byte.
    pub(crate) fn follow(
        mut self,
        response: Response<Body>,
        importance: Importance,
    ) -> Response<Body> {
        self.head = Some((response.status().as_u16(), self.arrival.at.elapsed()));
        self.importance = importance;
        if self.method == Method::HEAD || response.body().is_end_stream() {
            self.end = End::Whole;
        }
        let len = response.headers().get(header::CONTENT_LENGTH);
        let len = len.and_then(|len| len.to_str().ok()?.parse().ok());
        response.map(|body| {
            let line = self;
            Logged { body, line, len }.boxed_unsync()
        })
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        let total = self.arrival.at.elapsed();
        let (status, to_head) = self.head.unwrap_or((CLIENT_LEFT, total));
        let key = self.arrival.key_name().unwrap_or("-");
        let end = match self.end {
            End::Whole => "whole",
            End::CutOff => "cut off",
        };
        let (head_ms, total_ms) = (millis(to_head), millis(total));
        let request_id = &self.arrival.request_id;
        let Self {
            method,
            path,
            bytes,
            ..
        } = self;
        match self.importance {
            Importance::Info => {
                tracing::info!(target: TARGET, request_id, %method, path, status, key, bytes, head_ms, total_ms, end)
            }
            Importance::Debug => {
                tracing::debug!(target: TARGET, request_id, %method, path, status, key, bytes, head_ms, total_ms, end)
            }
        }
    }
}

/// To the microsecond.
fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// A response's body on its way out.
struct Logged {
    body: Body,
    line: AccessLine,
    /// What its head says of its length.
    len: Option<u64>,
}

impl http_body::Body for Logged {
    type Data = Bytes;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            let len = frame.data_ref().map_or(0, Bytes::len);
            self.line.bytes += len as u64;
        }
        let is_last = match &frame {
            Some(Ok(_)) => self.body.is_end_stream() || self.len == Some(self.line.bytes),
            Some(Err(_)) => false,
            None => true,
        };
        if is_last {
            self.line.end = End::Whole;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
