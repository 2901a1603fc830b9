//! Which requests the router plugin answers.

use http::{HeaderValue, Method, Response, StatusCode, header};
use sandbox::Route;

use crate::{
    body::Body,
    error::{self, refusal},
};

/// Refuses a request that none of the routes is for.
pub(crate) fn refuse(routes: &[Route], method: &Method, path: &str) -> Option<Response<Body>> {
    let mut others = routes
        .iter()
        .filter(|route| matches(&route.path, path))
        .map(|route| route.method.as_str())
        .peekable();
    if others.peek().is_none() {
        let known: Vec<&str> = routes.iter().map(|route| route.path.as_str()).collect();
        let message = format!(
            "there is no {path} here; this server answers {}",
            known.join(", ")
        );
        return Some(error::response(&refusal(StatusCode::NOT_FOUND, message)));
    }
    let allowed: Vec<&str> = others.collect();
    if allowed.contains(&method.as_str()) {
        return None;
    }
    let message = format!(
        "{path} does not take {method}; use {}",
        allowed.join(" or ")
    );
    let mut response = error::response(&refusal(StatusCode::METHOD_NOT_ALLOWED, message));
    // Methods are words: the sandbox has checked them.
    if let Ok(allowed) = HeaderValue::from_str(&allowed.join(", ")) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    Some(response)
}

/// Whether one of the routes is for this path, whatever its method.
pub(crate) fn know(routes: &[Route], path: &str) -> bool {
    routes.iter().any(|route| matches(&route.path, path))
}

/// A pattern's last segment `*` stands for one or more segments.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty()),
        None => pattern == path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: Method, path: &str) -> Option<u16> {
        let routes = [
            ("POST", "/v1/completions"),
            ("GET", "/v1/models"),
            ("GET", "/v1/models/*"),
        ];
        let routes = routes.map(|(method, path)| Route {
            method: method.into(),
            path: path.into(),
        });
        refuse(&routes, &method, path).map(|response| response.status().as_u16())
    }

    #[test]
    fn a_star_matches_ids_with_slashes_and_not_nothing() {
        assert_eq!(status(Method::GET, "/v1/models"), None);
        assert_eq!(status(Method::GET, "/v1/models/Qwen/Qwen3-4B"), None);
        assert_eq!(status(Method::GET, "/v1/models/"), Some(404));
    }

    #[test]
    fn an_unknown_path_is_404_and_a_wrong_method_405() {
        assert_eq!(status(Method::POST, "/v1/completions/"), Some(404));
        assert_eq!(status(Method::GET, "/v1/completions"), Some(405));
    }
}
