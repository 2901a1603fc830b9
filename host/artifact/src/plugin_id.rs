//! The name that a plugin's author gives it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Lower-case ASCII letters, digits and `-`, beginning with a letter; 1 to 64 of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PluginId(String);

/// A text that should have been the id of a plugin.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "`{0}` cannot be a plugin's id: write 1 to 64 lower-case letters, digits and hyphens, beginning with a letter, such as \
     `pii-redaction`"
)]
pub struct NotAPluginId(String);

impl PluginId {
    /// Most letters.
    const MAX_LEN: usize = 64;

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PluginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PluginId {
    type Err = NotAPluginId;

    fn from_str(text: &str) -> Result<PluginId, NotAPluginId> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let good = text.len() <= PluginId::MAX_LEN
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(allowed);
        match good {
            true => Ok(PluginId(text.into())),
            false => Err(NotAPluginId(text.chars().take(80).collect())),
        }
    }
}

impl TryFrom<String> for PluginId {
    type Error = NotAPluginId;

    fn try_from(text: String) -> Result<PluginId, NotAPluginId> {
        text.parse()
    }
}

impl From<PluginId> for String {
    fn from(id: PluginId) -> String {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_fit_for_a_path_a_metric_and_a_line_of_a_log() {
        for good in ["a", "pii-redaction", "x9", &"a".repeat(64)] {
            assert_eq!(good.parse::<PluginId>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "9x",
            "-a",
            "A",
            "a_b",
            "a.b",
            "a/b",
            "ä",
            "a\n",
            &"a".repeat(65),
        ] {
            assert!(bad.parse::<PluginId>().is_err(), "{bad}");
        }
    }
}
