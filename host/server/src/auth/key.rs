//! One API key, as an operator describes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use artifact::Digest;

use crate::rate_limit::Rates;

/// What an operator says of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiKey {
    /// Its name in logs, and for shapers and functions.
    pub name: KeyName,
    /// Of the secret, whose bytes are not kept: what leaks from memory or the file lets nobody in. A slow hash would add nothing,
    /// as a secret of 256 random bits cannot be guessed, and would cost each request its time.
    pub digest: Digest,
    /// How much may be asked for with it.
    pub rates: Rates,
    /// The models that may be asked for, by their served names; `None`: all.
    pub models: Option<BTreeSet<String>>,
    /// By the name of a shaper, settings that go before its own.
    pub shapers: BTreeMap<String, ShaperSettings>,
}

/// A shaper's settings.
pub type ShaperSettings = serde_json::Map<String, serde_json::Value>;

impl ApiKey {
    /// One without limits.
    pub fn new(name: KeyName, digest: Digest) -> Self {
        Self {
            name,
            digest,
            rates: Rates::default(),
            models: None,
            shapers: BTreeMap::new(),
        }
    }

    /// Those that were given as bare secrets, which are named `key-1` and so on. Empty strings are no keys.
    pub fn of_secrets(secrets: impl IntoIterator<Item = String>) -> Vec<Self> {
        let digests = secrets.into_iter().filter(|secret| !secret.is_empty());
        let digests = digests.map(|secret| Digest::of(secret.as_bytes()));
        let mut seen = BTreeSet::new();
        digests
            .filter(|digest| seen.insert(*digest))
            .enumerate()
            .map(|(index, digest)| Self::new(KeyName(format!("key-{}", index + 1)), digest))
            .collect()
    }
}

/// A key's name: 1 to 64 letters, digits, `-`, `_`, `.` and `@`, so that it can stand in a log line as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

/// A text that is no name of a key.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{}` is no name for a key: take 1 to 64 letters, digits, `-`, `_`, `.` and `@`", .0.escape_debug())]
pub struct NotAKeyName(String);

impl KeyName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = NotAKeyName;

    fn from_str(text: &str) -> Result<Self, NotAKeyName> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
        match (1..=64).contains(&text.len()) && text.bytes().all(plain) {
            true => Ok(Self(text.to_owned())),
            false => Err(NotAKeyName(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_stand_in_a_log_line() {
        for good in ["alice", "team-7", "ci@example.com", "a_b.c"] {
            assert_eq!(good.parse::<KeyName>().unwrap().as_str(), good);
        }
        for bad in ["", "two words", "a\nb", "ä", "a\"b", &"x".repeat(65)] {
            assert!(bad.parse::<KeyName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bare_secrets_are_named_by_their_place_and_counted_once() {
        let secrets = ["one", "", "two", "one"].map(str::to_owned);
        let keys = ApiKey::of_secrets(secrets);
        let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        assert_eq!(names, ["key-1", "key-2"]);
    }
}
