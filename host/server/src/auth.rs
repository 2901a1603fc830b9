//! API keys.

use http::{HeaderMap, HeaderName, StatusCode, header};
use sandbox::ApiError;
use subtle::ConstantTimeEq;

use crate::error::{coded, refusal};

/// Where Anthropic's clients show their key.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The headers that hold a client's secrets. They stay with the host.
pub(crate) const SECRET_HEADERS: [HeaderName; 3] =
    [header::AUTHORIZATION, X_API_KEY, header::COOKIE];

/// The keys that this server accepts; none means that everyone is let in.
#[derive(Clone, Default)]
pub struct ApiKeys(Vec<String>);

impl ApiKeys {
    /// Empty strings are no keys.
    pub fn new(keys: impl IntoIterator<Item = String>) -> Self {
        Self(keys.into_iter().filter(|key| !key.is_empty()).collect())
    }

    /// Lets a request with one of the keys pass. All keys are compared in full, so that the time taken tells nothing.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().split_at_checked(7))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
            .map(|(_, key)| key.trim_ascii());
        let plain = || headers.get(X_API_KEY).map(|value| value.as_bytes());
        let given = bearer.or_else(plain).unwrap_or_default();
        let known = self.0.iter().fold(0, |found, key| {
            found | key.as_bytes().ct_eq(given).unwrap_u8()
        });
        if known == 1 {
            return Ok(());
        }
        let message =
            "no valid API key: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`";
        Err(coded(
            "invalid_api_key",
            ApiError {
                kind: "invalid_request_error".into(),
                ..refusal(StatusCode::UNAUTHORIZED, message)
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(keys: &[&str], authorization: Option<&str>) -> Option<u16> {
        let headers = authorization.map(|value| (header::AUTHORIZATION, value.parse().unwrap()));
        let keys = ApiKeys::new(keys.iter().map(|&key| key.to_owned()));
        keys.check(&HeaderMap::from_iter(headers))
            .err()
            .map(|error| error.status)
    }

    #[test]
    fn without_keys_everyone_is_let_in() {
        assert_eq!(status(&[], None), None);
        assert_eq!(status(&[""], Some("Bearer x")), None);
    }

    #[test]
    fn with_keys_only_their_holders_are() {
        assert_eq!(status(&["a", "secret"], Some("Bearer secret")), None);
        assert_eq!(status(&["secret"], Some("bearer secret ")), None);
        for bad in [
            None,
            Some("secret"),
            Some("Bearer "),
            Some("Bearer secre"),
            Some("Bearer secret2"),
            Some("Basic secret"),
        ] {
            assert_eq!(status(&["secret"], bad), Some(401), "{bad:?}");
        }
    }

    #[test]
    fn a_key_may_come_in_a_header_of_its_own() {
        let keys = ApiKeys::new(["secret".to_owned()]);
        for (key, passes) in [("secret", true), ("secre", false)] {
            let headers = HeaderMap::from_iter([(X_API_KEY, key.parse().unwrap())]);
            assert_eq!(keys.check(&headers).is_ok(), passes, "{key}");
        }
    }
}
