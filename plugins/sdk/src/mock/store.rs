//! A key-value store in memory, with the contract's rules.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Bound;

use crate::key_value::Error;

const MAX_KEY_LEN: usize = 512;
const MAX_VALUE_LEN: usize = 1 << 20;
const MAX_KEYS: usize = 1000;

thread_local! {
    static PAIRS: RefCell<BTreeMap<String, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
    static QUOTA: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The most bytes that keys and values may have together. Without limit at first.
pub fn set_quota(bytes: usize) {
    QUOTA.set(bytes);
}

pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    check_key(key)?;
    Ok(PAIRS.with_borrow(|pairs| pairs.get(key).cloned()))
}

pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), Error> {
    check_key(key)?;
    if value.len() > MAX_VALUE_LEN {
        let why = format!(
            "the value has {} bytes and may have {MAX_VALUE_LEN}",
            value.len()
        );
        return Err(Error::Invalid(why));
    }
    PAIRS.with_borrow_mut(|pairs| {
        let others = pairs.iter().filter(|(other, _)| *other != key);
        let others: usize = others.map(|(key, value)| key.len() + value.len()).sum();
        let excess = (others + key.len() + value.len()).saturating_sub(QUOTA.get());
        if excess > 0 {
            return Err(Error::Quota(format!("{excess} bytes too many")));
        }
        pairs.insert(key.to_owned(), value.to_owned());
        Ok(())
    })
}

pub(crate) fn delete(key: &str) -> Result<bool, Error> {
    check_key(key)?;
    Ok(PAIRS.with_borrow_mut(|pairs| pairs.remove(key).is_some()))
}

pub(crate) fn keys(prefix: &str, after: Option<&str>, max: u32) -> Result<Vec<String>, Error> {
    let begin = match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    PAIRS.with_borrow(|pairs| {
        let from = pairs
            .range::<str, _>((begin, Bound::Unbounded))
            .map(|(key, _)| key);
        let under = from.take_while(|key| key.starts_with(prefix));
        Ok(under.take(MAX_KEYS.min(max as usize)).cloned().collect())
    })
}

pub(crate) fn compare_and_set(
    key: &str,
    expected: Option<&[u8]>,
    value: &[u8],
) -> Result<bool, Error> {
    if get(key)?.as_deref() != expected {
        return Ok(false);
    }
    set(key, value).map(|()| true)
}

fn check_key(key: &str) -> Result<(), Error> {
    if (1..=MAX_KEY_LEN).contains(&key.len()) {
        return Ok(());
    }
    let why = format!(
        "the key has {} bytes and must have 1 to {MAX_KEY_LEN}",
        key.len()
    );
    Err(Error::Invalid(why))
}

pub(super) fn reset() {
    PAIRS.take();
    QUOTA.set(usize::MAX);
}
