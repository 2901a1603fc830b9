//! From events to the bytes of a response, whole or streamed.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::{Response, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use sandbox::{ApiError, Event, Header, PluginError, Reply, Usage};
use tracing::Span;

use crate::{
    body::{Body, full},
    error,
    generating::Generating,
    pipeline::insert_headers,
    trace,
};

/// Vectors that a router is handed in one call, within its limits of time and memory and of what it may return.
const EVENTS_AT_ONCE: usize = 64;

/// A request that failed before it began.
pub(crate) async fn refuse(reply: Reply, error: &ApiError) -> Response<Body> {
    match reply.fail(error).await {
        Ok(body) => error::response_with_body(error, body.into()),
        Err(broken) => error::response(&error::of_plugin(&broken)),
    }
}

/// The response to what is done already.
pub(crate) async fn whole(mut reply: Reply, events: &[Event], usage: Usage) -> Response<Body> {
    let encoded = async {
        let headers = reply.headers().await?;
        let mut body = Vec::new();
        for some in events.chunks(EVENTS_AT_ONCE) {
            body.extend(reply.push(some).await?);
        }
        body.extend(reply.finish(usage).await?);
        Ok((headers, body))
    };
    match encoded.await {
        Ok((headers, body)) => with_headers(full(body), headers),
        Err(broken) => error::response(&error::of_plugin(&broken)),
    }
}

/// The response to a request that runs. Its head waits for the first bytes, so that what fails before them gets a status of
/// its own; a client that goes away meanwhile drops this future and so cancels the request.
pub(crate) async fn respond(
    generating: Generating,
    mut reply: Reply,
    streams: bool,
    request: &Span,
) -> Response<Body> {
    let span = trace::reply(request);
    let headers = match reply.headers().await {
        Ok(headers) => headers,
        Err(broken) => return error::response(&error::of_plugin(&broken)),
    };
    let mut encoder = Encoder {
        state: Some((generating, reply)),
        _span: span,
    };
    let body = match encoder.first(streams).await {
        Ok(first) if encoder.state.is_none() => full(first),
        Ok(first) => streamed(first, encoder),
        Err(response) => return response,
    };
    with_headers(body, headers)
}

fn with_headers(body: Body, headers: Vec<Header>) -> Response<Body> {
    let mut response = Response::new(body);
    insert_headers(&mut response, headers);
    response
        .headers_mut()
        .entry(header::CONTENT_TYPE)
        .or_insert(header::HeaderValue::from_static("application/json"));
    response
}

/// Drives a generation and has the router encode it, as fast as the client reads.
struct Encoder {
    /// `None` once the last byte was made.
    state: Option<(Generating, Reply)>,
    /// Ends with the last byte, or when the client leaves.
    _span: Span,
}

impl Encoder {
    /// All bytes of an answer that is not streamed, or the first of one that is.
    async fn first(&mut self, streams: bool) -> Result<Bytes, Response<Body>> {
        let mut bytes = Vec::new();
        while self.state.is_some() && (bytes.is_empty() || !streams) {
            match self.step().await {
                Ok(more) => bytes.extend_from_slice(&more),
                Err(Failed::Request(error, reply)) if bytes.is_empty() => {
                    return Err(refuse(*reply, &error).await);
                }
                Err(Failed::Router(error)) => {
                    return Err(error::response(&error::of_plugin(&error)));
                }
                Err(Failed::Request(error, _)) => return Err(error::response(&error)),
            }
        }
        Ok(bytes.into())
    }

    /// The next bytes of a stream that has begun; `None` at its end.
    async fn next(&mut self) -> Option<Bytes> {
        while self.state.is_some() {
            let bytes = match self.step().await {
                Ok(bytes) => bytes,
                Err(Failed::Request(error, reply)) => match reply.fail(&error).await {
                    Ok(bytes) => bytes.into(),
                    Err(broken) => error::event(&error::of_plugin(&broken)),
                },
                Err(Failed::Router(broken)) => error::event(&error::of_plugin(&broken)),
            };
            if !bytes.is_empty() {
                return Some(bytes);
            }
        }
        None
    }

    /// Waits for the engine once and encodes what came; at the end, the end.
    async fn step(&mut self) -> Result<Bytes, Failed> {
        let Some((mut generating, mut reply)) = self.state.take() else {
            return Ok(Bytes::new());
        };
        let events = match generating.next().await {
            Ok(events) => events,
            Err(error) => return Err(Failed::Request(error, Box::new(reply))),
        };
        if events.is_empty() {
            return reply
                .finish(generating.usage())
                .await
                .map(Bytes::from)
                .map_err(Failed::Router);
        }
        let bytes = reply.push(&events).await.map_err(Failed::Router)?;
        self.state = Some((generating, reply));
        Ok(bytes.into())
    }
}

enum Failed {
    /// The request failed; its router can still say so.
    Request(ApiError, Box<Reply>),
    /// The router itself failed.
    Router(PluginError),
}

fn streamed(first: Bytes, encoder: Encoder) -> Body {
    let chunks = stream::unfold((Some(first), encoder), |(first, mut encoder)| async move {
        let bytes = match first {
            Some(first) => first,
            None => encoder.next().await?,
        };
        Some((Ok::<_, Infallible>(Frame::data(bytes)), (None, encoder)))
    });
    StreamBody::new(chunks)
        .map_err(|never| match never {})
        .boxed_unsync()
}
