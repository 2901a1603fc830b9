//! HTTP requests that a function sends. Needs the grant `outgoing-http`, and the operator lists the hosts.

use super::Body;
#[cfg(target_arch = "wasm32")]
use super::wasi_fetch as border;
#[cfg(not(target_arch = "wasm32"))]
use crate::mock::fetch as border;
use crate::{ApiError, Header};

/// A request to another server.
#[derive(Clone, Debug, PartialEq)]
pub struct OutgoingRequest {
    /// In upper case.
    pub method: String,
    /// An absolute URL of `http` or `https`.
    pub url: String,
    /// The headers; `host` is in the URL, and `content-length` is set from the body.
    pub headers: Vec<Header>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

/// What another server answered. Redirects are not followed.
pub struct IncomingResponse {
    /// The status, 200 or not.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<Header>,
    /// The body, to be read as it arrives.
    pub body: Body,
}

impl OutgoingRequest {
    /// A request without body.
    pub fn get(url: impl Into<String>) -> OutgoingRequest {
        OutgoingRequest {
            method: "GET".to_owned(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A request with a body.
    pub fn post(url: impl Into<String>, body: impl Into<Vec<u8>>) -> OutgoingRequest {
        OutgoingRequest {
            method: "POST".to_owned(),
            body: body.into(),
            ..OutgoingRequest::get(url)
        }
    }

    /// The same request with one more header.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push(Header::new(name, value));
        self
    }
}

/// Sends a request and waits for the head of its response. Fails with status 502 where there is none: the host is not among
/// those that the operator lists, cannot be reached or does not speak HTTP.
pub fn fetch(request: &OutgoingRequest) -> Result<IncomingResponse, ApiError> {
    let response = Url::parse(&request.url).and_then(|url| border::fetch(request, &url));
    response.map_err(|why| {
        let message = format!("cannot {} {}: {why}", request.method, request.url);
        ApiError::new(502, "server_error", message).with_code("fetch_failed")
    })
}

/// The parts of a URL that wasi:http takes one by one.
#[derive(Debug, PartialEq)]
pub(crate) struct Url<'a> {
    pub(crate) https: bool,
    pub(crate) authority: &'a str,
    /// Path and query; at least `/`.
    pub(crate) target: String,
}

impl Url<'_> {
    fn parse(url: &str) -> Result<Url<'_>, String> {
        let without_fragment = url.split('#').next().unwrap_or_default();
        let (https, rest) = match without_fragment.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            _ => return Err("the URL must begin with `https://` or `http://`".to_owned()),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Url {
            https,
            authority,
            target: format!("{slash}{target}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock;

    #[test]
    fn a_url_is_taken_apart_where_its_authority_ends() {
        let parts = |url| {
            Url::parse(url).map(
                |Url {
                     https,
                     authority,
                     target,
                 }| (https, authority, target),
            )
        };
        assert_eq!(
            parts("https://a.example/x?y#z"),
            Ok((true, "a.example", "/x?y".to_owned()))
        );
        assert_eq!(parts("http://a:80"), Ok((false, "a:80", "/".to_owned())));
        assert_eq!(parts("HTTP://a?b/c"), Ok((false, "a", "/?b/c".to_owned())));
        assert!(parts("ftp://a/b").is_err());
        assert!(parts("a.example/b").is_err());
    }

    #[test]
    fn a_test_answers_what_a_function_fetches() {
        mock::reset();
        mock::set_fetch(|request| {
            assert_eq!(request.headers, [Header::new("accept", "text/plain")]);
            Ok((201, vec![Header::new("x-a", "b")], request.body.clone()))
        });
        let request =
            OutgoingRequest::post("http://a.example/", "hi").with_header("accept", "text/plain");
        let mut response = fetch(&request).unwrap();
        let body = std::io::read_to_string(&mut response.body).unwrap();
        assert_eq!((response.status, body.as_str()), (201, "hi"));
    }

    #[test]
    fn a_test_that_has_set_no_answers_is_told_so() {
        mock::reset();
        let error = fetch(&OutgoingRequest::get("http://a.example/"))
            .err()
            .unwrap();
        assert_eq!(error.status, 502);
        assert!(
            error.message.contains("mock::set_fetch"),
            "{}",
            error.message
        );
    }
}
