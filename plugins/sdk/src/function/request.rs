use std::io::{self, Read};

use serde::de::DeserializeOwned;

use super::border;
use crate::{ApiError, Header};

/// A request as it came, its body still on the way.
pub struct Request {
    /// In upper case.
    pub method: String,
    /// The path as the client sent it: percent-encoded, without the query.
    pub path: String,
    /// What stands behind `?`, undecoded.
    pub query: Option<String>,
    /// The headers, names in lower case.
    pub headers: Vec<Header>,
    body: Body,
}

impl Request {
    /// `target` is path and query.
    pub(crate) fn new(
        method: String,
        target: &str,
        headers: Vec<Header>,
        body: border::Body,
    ) -> Request {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Request {
            method,
            path: path.to_owned(),
            query,
            headers,
            body: Body(body),
        }
    }

    /// The first header of this name, which is given in lower case; absent also where its value is no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|header| header.name == name)?;
        std::str::from_utf8(&header.value).ok()
    }

    /// The body, to be read as it arrives.
    pub fn body(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The whole body, if it has at most `max_len` bytes; else an error with status 413.
    pub fn read_body(&mut self, max_len: usize) -> Result<Vec<u8>, ApiError> {
        let mut body = Vec::new();
        let limit = u64::try_from(max_len).unwrap_or(u64::MAX);
        self.body
            .by_ref()
            .take(limit.saturating_add(1))
            .read_to_end(&mut body)?;
        if body.len() <= max_len {
            return Ok(body);
        }
        let message = format!("the body is longer than the {max_len} bytes that are taken here");
        Err(ApiError::new(413, "invalid_request_error", message))
    }

    /// The whole body, of at most `max_len` bytes, as JSON of the shape of `T`; else an error with status 400 that names the
    /// field at fault.
    pub fn read_json<T: DeserializeOwned>(&mut self, max_len: usize) -> Result<T, ApiError> {
        let body = self.read_body(max_len)?;
        let mut deserializer = serde_json::Deserializer::from_slice(&body);
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let path = error.path().to_string();
            let why = error.into_inner();
            match path.as_str() {
                "." => malformed(&why),
                field => ApiError::invalid(field, format!("`{field}` is wrong: {why}")),
            }
        })?;
        deserializer.end().map_err(|error| malformed(&error))?;
        Ok(value)
    }
}

fn malformed(why: &serde_json::Error) -> ApiError {
    let message = format!("the body is not the JSON that is expected here: {why}");
    ApiError::new(400, "invalid_request_error", message)
}

/// A body that is read as it arrives: of a request, or of the response to an outgoing one.
pub struct Body(border::Body);

impl Body {
    pub(crate) fn new(body: border::Body) -> Body {
        Body(body)
    }
}

/// Waits for the next bytes; none, once the body has ended in good order.
impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}
