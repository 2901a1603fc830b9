//! Abuse of the key-value store; all report what the store said:
//!
//! * `giant-key`: a key of 1 MiB
//! * `giant-value`: a value of [`hostile::HUGE_LEN`] bytes
//! * `path-keys`: keys that would lead out of a folder, set and read back
//! * `fill-store`: values of 64 KiB until the store refuses one, at most 100,000
//! * `empty-store`: removes all that `fill-store` has left

use hostile::huge_text;
use plugin_sdk::key_value::{self, Error};

use crate::Outcome;

pub(crate) fn obey(word: &str) -> Outcome {
    let said = match word {
        "giant-key" => said(key_value::set(&"k".repeat(1 << 20), b"")),
        "giant-value" => said(key_value::set("giant", huge_text().as_bytes())),
        "path-keys" => set_paths(),
        "fill-store" => fill(),
        "empty-store" => said(empty()),
        _ => return Outcome::NotMine,
    };
    Outcome::Report(said)
}

fn said<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Ok(value) => format!("done: {value:?}"),
        Err(Error::Invalid(why)) => format!("invalid: {why}"),
        Err(Error::Quota(why)) => format!("quota: {why}"),
        Err(Error::Unavailable(why)) => format!("unavailable: {why}"),
    }
}

fn set_paths() -> String {
    let keys = [
        "../../../etc/passwd",
        "/etc/passwd",
        "a/../b",
        "a\0b",
        "C:\\",
        "..",
        "%2e%2e%2f",
    ];
    let lines = keys.map(|key| {
        let read = key_value::set(key, key.as_bytes()).and_then(|()| key_value::get(key));
        format!(
            "{key:?} {}\n",
            said(read.map(|value| value.as_deref() == Some(key.as_bytes())))
        )
    });
    lines.concat()
}

fn fill() -> String {
    let value = vec![7; 64 << 10];
    for number in 0..100_000 {
        if let Err(error) = key_value::set(&format!("fill/{number}"), &value) {
            return format!("after {number} values {}", said::<()>(Err(error)));
        }
    }
    "took 100,000 values".to_owned()
}

fn empty() -> Result<usize, Error> {
    let keys = key_value::all_keys("fill/")?;
    for key in &keys {
        key_value::delete(key)?;
    }
    Ok(keys.len())
}
