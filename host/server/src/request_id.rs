//! The id that a request carries through logs, plugins and the answer.

use std::hash::{BuildHasher, RandomState};

use http::{HeaderMap, HeaderName};

/// Where clients send an id and read it back.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The client's own id if it is short and plain, else a new one.
pub(crate) fn of(headers: &HeaderMap) -> String {
    let own = headers
        .get(X_REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    match own {
        Some(id)
            if (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            id.to_owned()
        }
        _ => format!("{:016x}{:016x}", random_u64(), random_u64()),
    }
}

/// A number nobody can foresee within this process: the standard library's hash keys are random and differ with every use.
/// Good for ids and sampling seeds, not for secrets.
pub(crate) fn random_u64() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(id: &str) -> String {
        of(&HeaderMap::from_iter([(X_REQUEST_ID, id.parse().unwrap())]))
    }

    #[test]
    fn a_sane_id_of_the_client_is_kept_and_any_other_replaced() {
        assert_eq!(given("run-7/a"), "run-7/a");
        for bad in ["", "two words", &"x".repeat(129)] {
            assert_eq!(given(bad).len(), 32, "{bad:?}");
        }
    }

    #[test]
    fn ids_differ() {
        assert_ne!(of(&HeaderMap::new()), of(&HeaderMap::new()));
    }
}
