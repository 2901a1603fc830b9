//! Lets pages in a browser call this server. No cookies are involved: keys keep others out.

use std::str::FromStr;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};

use crate::body::{Body, full};

/// The methods that routers and functions may have.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// What pages may read besides what every page may.
const EXPOSED: &str = "x-request-id, retry-after, retry-after-ms, \
    x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, \
    x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens";

/// Whose pages may read this server's answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllowedOrigins(Origins);

#[derive(Clone, Debug, Default, PartialEq)]
enum Origins {
    /// Everybody's.
    #[default]
    Any,
    /// Those of these origins.
    These(Vec<HeaderValue>),
}

/// A text that names no origins.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotOrigins {
    /// One of them is none.
    #[error(
        "`{0}` is no origin: write scheme and host, and the port if it has one, as in https://app.example.com"
    )]
    Origin(String),
    /// It begins like JSON and is none.
    #[error(
        "the origins are no JSON list of strings ({0}): write [\"https://app.example.com\"], or the origins with commas between"
    )]
    Json(String),
}

/// A JSON list, as vLLM takes it, or origins with commas between them; `*` is every origin.
impl FromStr for AllowedOrigins {
    type Err = NotOrigins;

    fn from_str(text: &str) -> Result<Self, NotOrigins> {
        let text = text.trim();
        let origins: Vec<String> = match text.starts_with('[') {
            true => serde_json::from_str(text).map_err(|e| NotOrigins::Json(e.to_string()))?,
            false => text.split(',').map(|part| part.trim().to_owned()).collect(),
        };
        if origins.iter().any(|origin| origin == "*") {
            return Ok(Self(Origins::Any));
        }
        let these = origins
            .iter()
            .map(|origin| parse(origin))
            .collect::<Result<_, _>>()?;
        Ok(Self(Origins::These(these)))
    }
}

/// Browsers send origins in lower case and without a slash at the end, and compare byte by byte.
fn parse(origin: &str) -> Result<HeaderValue, NotOrigins> {
    let not_one = || NotOrigins::Origin(origin.chars().take(80).collect());
    let (scheme, host) = origin.split_once("://").ok_or_else(not_one)?;
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"/?#@,\"\\".contains(&byte);
    if scheme.is_empty() || host.is_empty() || !host.bytes().all(plain) {
        return Err(not_one());
    }
    HeaderValue::from_str(&origin.to_ascii_lowercase()).map_err(|_| not_one())
}

/// What the page that a request comes from may do.
pub(crate) struct Permit(Option<HeaderValue>, Vary);

/// Whether answers differ by origin, which caches must know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Vary {
    ByOrigin,
    Never,
}

impl AllowedOrigins {
    /// Judges by the origin that the request names.
    pub(crate) fn permit(&self, headers: &HeaderMap) -> Permit {
        match &self.0 {
            Origins::Any => Permit(Some(HeaderValue::from_static("*")), Vary::Never),
            Origins::These(these) => {
                let origin = headers.get(header::ORIGIN);
                let allowed = origin.filter(|origin| these.contains(origin));
                Permit(allowed.cloned(), Vary::ByOrigin)
            }
        }
    }
}

impl Permit {
    /// Marks a response as readable by the page, if it is.
    pub(crate) fn grant(self, headers: &mut HeaderMap) {
        let Permit(origin, vary) = self;
        if vary == Vary::ByOrigin {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = origin else {
            // A function must not say otherwise than the operator.
            headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            return;
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED),
        );
    }
}

/// The answer to a browser's question whether it may call, if that is what the request is. All headers that it asks for are
/// allowed: clients invent their own (`x-stainless-*`), and none of them lets anybody in.
pub(crate) fn preflight<B>(request: &Request<B>) -> Option<Response<Body>> {
    let asks = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    asks.then(|| {
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let wanted = request
            .headers()
            .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
            .cloned();
        let headers = response.headers_mut();
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(METHODS),
        );
        headers.insert(
            header::ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from_static("86400"),
        );
        if let Some(wanted) = wanted {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
        }
        response
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a page of this origin is told, where these are allowed.
    fn told(allowed: &str, origin: &str) -> (Option<HeaderValue>, bool) {
        let allowed: AllowedOrigins = allowed.parse().unwrap();
        let asked = HeaderMap::from_iter([(header::ORIGIN, origin.parse().unwrap())]);
        let mut headers = HeaderMap::new();
        allowed.permit(&asked).grant(&mut headers);
        let origin = headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        (origin, headers.contains_key(header::VARY))
    }

    #[test]
    fn a_star_among_the_origins_allows_every_page() {
        for all in ["*", r#"["*"]"#, "https://a.example, *"] {
            assert_eq!(
                told(all, "https://b.example"),
                (Some("*".parse().unwrap()), false)
            );
        }
    }

    #[test]
    fn a_page_of_an_allowed_origin_is_named_and_another_is_not_and_caches_are_told() {
        for two in [
            "https://a.example,http://localhost:3000",
            r#"["https://a.example", "http://localhost:3000"]"#,
        ] {
            for origin in ["https://a.example", "http://localhost:3000"] {
                assert_eq!(told(two, origin), (Some(origin.parse().unwrap()), true));
            }
            for origin in [
                "https://b.example",
                "http://a.example",
                "https://a.example:444",
            ] {
                assert_eq!(told(two, origin), (None, true));
            }
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for bad in [
            "",
            "a.example",
            "https://a.example/",
            "https://",
            "[1]",
            "[",
            "https://a b",
        ] {
            assert!(bad.parse::<AllowedOrigins>().is_err(), "{bad}");
        }
    }
}
