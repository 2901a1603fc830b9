//! A function's side of wasi:http 0.2.

use std::io::{self, Read};

use wasip2::http::types::{
    Fields, HeaderError, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse,
    ResponseOutparam,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use super::Request;
use crate::{ApiError, Header};

/// Where the answer goes.
pub(crate) struct Answer(ResponseOutparam);

/// The status and headers of a response, found valid.
pub(crate) struct Head(OutgoingResponse);

/// A body that is being written. Dropped without `finish`, it ends abnormally.
pub(crate) struct Sink {
    // First, because the body may only be let go of after its stream.
    stream: OutputStream,
    body: OutgoingBody,
}

/// A body that is being read.
pub(crate) struct Body {
    // First, because the body may only be let go of after its stream.
    stream: InputStream,
    _body: IncomingBody,
}

pub(super) fn request(request: &IncomingRequest) -> Request {
    let method = match request.method() {
        Method::Get => "GET".to_owned(),
        Method::Head => "HEAD".to_owned(),
        Method::Post => "POST".to_owned(),
        Method::Put => "PUT".to_owned(),
        Method::Delete => "DELETE".to_owned(),
        Method::Connect => "CONNECT".to_owned(),
        Method::Options => "OPTIONS".to_owned(),
        Method::Trace => "TRACE".to_owned(),
        Method::Patch => "PATCH".to_owned(),
        Method::Other(name) => name,
    };
    let target = request.path_with_query().unwrap_or_else(|| "/".to_owned());
    let headers = headers(&request.headers());
    let body = request.consume();
    let body = body.expect("nobody else has taken the body of a request that has just come");
    Request::new(method, &target, headers, Body::new(body))
}

pub(super) fn headers(fields: &Fields) -> Vec<Header> {
    let header = |(name, value): (String, Vec<u8>)| Header {
        name: name.to_ascii_lowercase(),
        value,
    };
    fields.entries().into_iter().map(header).collect()
}

/// Checks headers by the rules of the host, which also keeps some for itself.
pub(super) fn fields(headers: &[Header]) -> Result<Fields, ApiError> {
    let fields = Fields::new();
    for Header { name, value } in headers {
        fields.append(name, value).map_err(|error| {
            let why = match error {
                HeaderError::InvalidSyntax => "its name or value is not one that HTTP allows",
                HeaderError::Forbidden => "the host sets it",
                HeaderError::Immutable => "these headers cannot be changed",
            };
            ApiError::server(format!(
                "the function cannot send the header `{name}`: {why}"
            ))
        })?;
    }
    Ok(fields)
}

impl Answer {
    pub(super) fn new(answer: ResponseOutparam) -> Answer {
        Answer(answer)
    }

    pub(super) fn start(self, head: Head) -> Sink {
        let body = head.0.body();
        let body = body.expect("nobody else has taken the body of a response that was just made");
        ResponseOutparam::set(self.0, Ok(head.0));
        Sink::new(body)
    }
}

impl Head {
    pub(super) fn new(status: u16, headers: &[Header]) -> Result<Head, ApiError> {
        let response = OutgoingResponse::new(fields(headers)?);
        response.set_status_code(status).map_err(|()| {
            ApiError::server(format!("the function cannot answer with status {status}"))
        })?;
        Ok(Head(response))
    }
}

impl Sink {
    pub(super) fn new(body: OutgoingBody) -> Sink {
        let stream = body.write();
        let stream = stream.expect("nobody else has taken the stream of a body that was just made");
        Sink { stream, body }
    }

    /// Sends all of it, as fast as the reader takes it.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = self.stream.check_write().map_err(failed)?;
            if room == 0 {
                self.stream.subscribe().block();
                continue;
            }
            let len = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            self.stream.write(&bytes[..len]).map_err(failed)?;
            bytes = &bytes[len..];
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.stream.blocking_flush().map_err(failed)
    }

    pub(super) fn finish(self) -> io::Result<()> {
        let Sink { stream, body } = self;
        drop(stream);
        OutgoingBody::finish(body, None)
            .map_err(|code| io::Error::other(format!("the body cannot be ended: {code:?}")))
    }
}

impl Body {
    pub(super) fn new(body: IncomingBody) -> Body {
        let stream = body.stream();
        let stream =
            stream.expect("nobody else has taken the stream of a body that was just taken");
        Body {
            stream,
            _body: body,
        }
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.blocking_read(buffer.len() as u64) {
            Ok(bytes) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            Err(StreamError::Closed) => Ok(0),
            Err(error) => Err(failed(error)),
        }
    }
}

fn failed(error: StreamError) -> io::Error {
    match error {
        StreamError::Closed => {
            io::Error::new(io::ErrorKind::BrokenPipe, "the other side has gone away")
        }
        StreamError::LastOperationFailed(error) => io::Error::other(error.to_debug_string()),
    }
}
