//! API keys.

use http::{HeaderMap, StatusCode, header};
use sandbox::ApiError;
use subtle::ConstantTimeEq;

use crate::error::{coded, refusal};

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
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().split_at_checked(7))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
            .map_or(&b""[..], |(_, key)| key.trim_ascii());
        let known = self.0.iter().fold(0, |found, key| {
            found | key.as_bytes().ct_eq(given).unwrap_u8()
        });
        if known == 1 {
            return Ok(());
        }
        let message = "no valid API key: send it as `Authorization: Bearer KEY`";
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
}
