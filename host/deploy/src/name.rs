//! What a function is called.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The name of a function: 1 to 64 lower-case letters, digits and `-`, beginning with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FunctionName(String);

/// A text that should have been a function's name.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "`{0}` is no name for a function: use 1 to {max} lower-case letters, digits and `-`, beginning with a letter",
    max = FunctionName::MAX_LEN
)]
pub struct NotAName(String);

impl FunctionName {
    /// Most bytes of a name.
    pub const MAX_LEN: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FunctionName {
    type Error = NotAName;

    fn try_from(text: String) -> Result<FunctionName, NotAName> {
        let begins = text.starts_with(|first: char| first.is_ascii_lowercase());
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if begins && text.len() <= FunctionName::MAX_LEN && text.bytes().all(known) {
            return Ok(FunctionName(text));
        }
        Err(NotAName(text.chars().take(80).collect()))
    }
}

impl FromStr for FunctionName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<FunctionName, NotAName> {
        text.to_owned().try_into()
    }
}

impl From<FunctionName> for String {
    fn from(name: FunctionName) -> String {
        name.0
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_case_letters_digits_and_dashes_after_a_letter() {
        for good in ["a", "hello", "pr-1234", "a-", &"a".repeat(64)] {
            assert_eq!(good.parse::<FunctionName>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "1st",
            "-a",
            "Hello",
            "a_b",
            "a/b",
            "a.b",
            "a b",
            "a\n",
            "é",
            &"a".repeat(65),
        ] {
            assert!(bad.parse::<FunctionName>().is_err(), "{bad}");
        }
    }
}
