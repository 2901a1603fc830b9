//! Where a function answers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The paths that a function answers: one path, as `/hello`, or with a last segment `*` all that lie below one, as
/// `/shop/*`.
///
/// An absolute path of at most 256 bytes. Its segments are not empty, neither `.` nor `..`, and of RFC 3986's unreserved
/// characters only (letters, digits, `-`, `.`, `_`, `~`), so that no path can be written in two ways. `/` alone is a route.
/// The `*` stands for one or more segments: `/shop/*` has `/shop/a` and `/shop/a/b`, not `/shop` and not `/shop/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Route(String);

/// A text that should have been a route.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "`{text}` is no route: {why}; write a path as `/shop/cart`, or `/shop/*` for all that lies below `/shop`"
)]
pub struct NotARoute {
    /// The text, cut where it is long.
    text: String,
    /// What is wrong with it.
    why: &'static str,
}

/// A route that the server answers itself.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "no function can have the route {route}: the server answers {reserved} itself; choose another route"
)]
pub struct Reserved {
    /// The route that was asked for.
    pub route: Route,
    /// The server's own.
    pub reserved: String,
}

impl Route {
    /// Most bytes of a route.
    pub const MAX_LEN: usize = 256;

    /// The route as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What all paths of this route begin with, its last `/` included, if it ends in `*`.
    pub(crate) fn prefix(&self) -> Option<&str> {
        self.0.strip_suffix('*')
    }

    /// Whether a request for this path is for this route, as long as no other route is closer.
    pub fn matches(&self, path: &str) -> bool {
        matches(&self.0, path)
    }

    /// Refuses a route whose every path is taken by one of the `reserved` patterns, which are written as routes are.
    ///
    /// A route that has more paths than that is allowed, as `/*` beside `/health`: the server answers its own paths first.
    /// Routers come and go, so check this against those of the moment before each deployment, and at start.
    pub fn refuse_reserved<'a>(
        &self,
        reserved: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), Reserved> {
        // A pattern's `*` is one more character of the path here: what matches it matches all that it stands for.
        let taken = |pattern: &&str| *pattern == self.0 || matches(pattern, &self.0);
        match reserved.into_iter().find(taken) {
            None => Ok(()),
            Some(pattern) => Err(Reserved {
                route: self.clone(),
                reserved: pattern.to_owned(),
            }),
        }
    }
}

/// A pattern's last segment `*` stands for one or more segments.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty()),
        None => pattern == path,
    }
}

/// What is wrong with this text as a route.
fn fault(text: &str) -> Option<&'static str> {
    let Some(path) = text.strip_prefix('/') else {
        return Some("it does not begin with `/`");
    };
    if text.len() > Route::MAX_LEN {
        return Some("it is longer than 256 bytes");
    }
    let path = match path.strip_suffix('*') {
        Some("") => return None,
        Some(prefix) => match prefix.strip_suffix('/') {
            Some(path) => path,
            None => return Some("its `*` is not a segment of its own"),
        },
        None if path.is_empty() => return None,
        None => path,
    };
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    path.split('/').find_map(|segment| match segment {
        "" => Some("it has an empty segment"),
        "." | ".." => Some("it has a segment `.` or `..`"),
        _ if segment.contains('*') => Some("`*` can only be the last segment"),
        _ if !segment.bytes().all(unreserved) => {
            Some("it has other characters than letters, digits, `-`, `.`, `_` and `~`")
        }
        _ => None,
    })
}

impl TryFrom<String> for Route {
    type Error = NotARoute;

    fn try_from(text: String) -> Result<Route, NotARoute> {
        match fault(&text) {
            None => Ok(Route(text)),
            Some(why) => Err(NotARoute {
                text: text.chars().take(80).collect(),
                why,
            }),
        }
    }
}

impl FromStr for Route {
    type Err = NotARoute;

    fn from_str(text: &str) -> Result<Route, NotARoute> {
        text.to_owned().try_into()
    }
}

impl From<Route> for String {
    fn from(route: Route) -> String {
        route.0
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_a_plain_absolute_path_with_at_most_one_star_at_its_end() {
        let longest = format!("/{}", "a".repeat(255));
        for good in ["/", "/*", "/a", "/a/*", "/A-z.0_~/b", "/...", &longest] {
            assert_eq!(good.parse::<Route>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "*",
            "a",
            "a/b",
            "//",
            "/a/",
            "//a",
            "/a//b",
            "//*",
            "/a//*",
            "/.",
            "/..",
            "/a/../b",
            "/../*",
            "/a*",
            "/*/a",
            "/*/*",
            "/**",
            "/a%20b",
            "/a b",
            "/a?b",
            "/a:b",
            "/é",
            "/a\0",
            &format!("{longest}a"),
        ] {
            assert!(bad.parse::<Route>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_star_stands_for_one_or_more_segments() {
        let route: Route = "/shop/*".parse().unwrap();
        assert!(route.matches("/shop/a") && route.matches("/shop/a/b"));
        for other in ["/shop", "/shop/", "/shops/a", "/", ""] {
            assert!(!route.matches(other), "{other}");
        }
        let root: Route = "/".parse().unwrap();
        assert!(root.matches("/") && !root.matches("/a"));
    }

    #[test]
    fn only_a_route_that_the_server_hides_entirely_is_reserved() {
        let reserved = ["/health", "/v1/models", "/v1/models/*"];
        let check = |route: &str| route.parse::<Route>().unwrap().refuse_reserved(reserved);
        for free in ["/", "/*", "/v1/*", "/health/*", "/v1/model", "/healthy"] {
            assert_eq!(check(free), Ok(()), "{free}");
        }
        for taken in ["/health", "/v1/models/a", "/v1/models/*", "/v1/models/a/*"] {
            assert!(check(taken).is_err(), "{taken}");
        }
        let error = check("/health").unwrap_err().to_string();
        assert!(error.contains("/health itself"), "{error}");
    }
}
