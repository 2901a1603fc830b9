//! A small store of the plugin's own, which outlives its instances and the host's process. Needs the grant `key-value`.
//!
//! Keys are 1 to 512 bytes of text, values at most 1 MiB. Each call is a transaction: what it wrote is on disk when it returns.

use crate::ApiError;
#[cfg(target_arch = "wasm32")]
use crate::bindings::shared::lm::plugin::key_value as host;
pub use crate::bindings::shared::lm::plugin::key_value::Error;
#[cfg(not(target_arch = "wasm32"))]
use crate::mock::store as host;

/// The value of a key, if there is one.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    host::get(key)
}

/// Sets or replaces a value.
pub fn set(key: &str, value: &[u8]) -> Result<(), Error> {
    host::set(key, value)
}

/// Removes a key; tells whether it was there.
pub fn delete(key: &str) -> Result<bool, Error> {
    host::delete(key)
}

/// Keys that begin with `prefix`, in the order of their bytes, from the first one after `after`; at most `max`, and at most
/// 1,000.
pub fn keys(prefix: &str, after: Option<&str>, max: u32) -> Result<Vec<String>, Error> {
    host::keys(prefix, after, max)
}

/// All keys that begin with `prefix`, in the order of their bytes. Several calls where there are many, so what others add or
/// remove meanwhile may be in it or not.
pub fn all_keys(prefix: &str) -> Result<Vec<String>, Error> {
    const PAGE_LEN: u32 = 1000;
    let mut all = Vec::new();
    loop {
        let page = keys(prefix, all.last().map(String::as_str), PAGE_LEN)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Sets a value if the present one is `expected` (`None`: if there is none); tells whether it did.
pub fn compare_and_set(key: &str, expected: Option<&[u8]>, value: &[u8]) -> Result<bool, Error> {
    host::compare_and_set(key, expected, value)
}

/// For a plugin that has nothing better to say: a full store is 507, all else 500.
impl From<Error> for ApiError {
    fn from(error: Error) -> ApiError {
        match error {
            Error::Invalid(why) => {
                ApiError::server(format!("the plugin stored what cannot be: {why}"))
            }
            Error::Quota(why) => {
                let message = format!("the plugin's store is full: {why}");
                ApiError::new(507, "server_error", message).with_code("quota_exceeded")
            }
            Error::Unavailable(why) => {
                ApiError::server(format!("the plugin's store failed: {why}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock;

    #[test]
    fn a_value_is_found_again_until_it_is_deleted() {
        mock::reset();
        assert_eq!(get("a"), Ok(None));
        set("a", b"1").unwrap();
        assert_eq!(get("a"), Ok(Some(b"1".to_vec())));
        assert_eq!(
            (delete("a"), delete("a"), get("a")),
            (Ok(true), Ok(false), Ok(None))
        );
    }

    #[test]
    fn keys_come_in_order_behind_the_last_one_that_is_known() {
        mock::reset();
        for key in ["b/2", "a/1", "b/1", "b/3", "c"] {
            set(key, b"").unwrap();
        }
        assert_eq!(keys("b/", None, 2).unwrap(), ["b/1", "b/2"]);
        assert_eq!(keys("b/", Some("b/2"), 9).unwrap(), ["b/3"]);
        assert_eq!(all_keys("").unwrap(), ["a/1", "b/1", "b/2", "b/3", "c"]);
    }

    #[test]
    fn more_keys_than_one_call_lists_are_all_listed() {
        mock::reset();
        for number in 0..2001 {
            set(&format!("{number:04}"), b"").unwrap();
        }
        assert_eq!(keys("", None, u32::MAX).unwrap().len(), 1000);
        assert_eq!(all_keys("").unwrap().len(), 2001);
    }

    #[test]
    fn only_who_knows_the_present_value_can_exchange_it() {
        mock::reset();
        assert_eq!(compare_and_set("n", Some(b"0"), b"1"), Ok(false));
        assert_eq!(compare_and_set("n", None, b"1"), Ok(true));
        assert_eq!(compare_and_set("n", None, b"2"), Ok(false));
        assert_eq!(compare_and_set("n", Some(b"1"), b"2"), Ok(true));
        assert_eq!(get("n"), Ok(Some(b"2".to_vec())));
    }

    #[test]
    fn what_is_too_long_or_too_much_is_refused_and_changes_nothing() {
        mock::reset();
        for key in ["", &"k".repeat(513)] {
            assert!(matches!(set(key, b""), Err(Error::Invalid(_))), "{key}");
        }
        assert!(matches!(
            set("k", &vec![0; (1 << 20) + 1]),
            Err(Error::Invalid(_))
        ));
        mock::set_quota(10);
        set("k", b"12345").unwrap();
        assert!(matches!(set("l", b"12345"), Err(Error::Quota(_))));
        set("k", b"123456789").unwrap();
        assert_eq!(all_keys("").unwrap(), ["k"]);
    }

    #[test]
    fn a_full_store_is_told_to_the_client_as_such() {
        let error = ApiError::from(Error::Quota("by 3 bytes".to_owned()));
        assert_eq!(
            (error.status, error.code.as_deref()),
            (507, Some("quota_exceeded"))
        );
        assert_eq!(
            ApiError::from(Error::Unavailable(String::new())).status,
            500
        );
    }
}
