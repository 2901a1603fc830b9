//! Which version of the WIT package `lm:plugin` something was built for.

use std::{fmt, str::FromStr};

use serde::Deserialize;

/// The name of the WIT package.
pub(crate) const PACKAGE: &str = "lm:plugin";

/// A version of the WIT package `lm:plugin`, without its patch number: patches are compatible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct WitVersion {
    /// Before the point.
    pub major: u64,
    /// After the point.
    pub minor: u64,
}

/// A text that should have been a version of the WIT package.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "`{text}` is no version of {PACKAGE}: write two numbers, such as \"{}\"",
    WitVersion::HOST
)]
pub struct NotAWitVersion {
    text: String,
}

impl WitVersion {
    /// The version that this host speaks.
    pub const HOST: WitVersion = WitVersion { major: 0, minor: 1 };
}

impl fmt::Display for WitVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for WitVersion {
    type Err = NotAWitVersion;

    fn from_str(text: &str) -> Result<WitVersion, NotAWitVersion> {
        // By way of semver, which knows that `01`, `+1` and ` 1` are no numbers.
        match semver::Version::parse(&format!("{text}.0")) {
            Ok(version) if version.pre.is_empty() && version.build.is_empty() => {
                Ok(WitVersion::from(&version))
            }
            _ => Err(NotAWitVersion {
                text: text.chars().take(40).collect(),
            }),
        }
    }
}

impl TryFrom<String> for WitVersion {
    type Error = NotAWitVersion;

    fn try_from(text: String) -> Result<WitVersion, NotAWitVersion> {
        text.parse()
    }
}

impl From<&semver::Version> for WitVersion {
    fn from(version: &semver::Version) -> WitVersion {
        WitVersion {
            major: version.major,
            minor: version.minor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_two_numbers() {
        assert_eq!("0.1".parse(), Ok(WitVersion::HOST));
        for bad in ["", "0", "0.1.0", "v0.1", "0.1-rc", "00.1", "0.01", "0. 1"] {
            assert!(bad.parse::<WitVersion>().is_err(), "{bad}");
        }
    }
}
