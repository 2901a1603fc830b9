//! One deployed version of a function: what runs, and what it may do.

use std::{
    collections::BTreeSet,
    fmt,
    num::{NonZeroU32, NonZeroU64},
};

use artifact::{Capability, Digest, HostPattern};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The number of a function's version, from 1 on in the order of deployment. None is used twice under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VersionNumber(NonZeroU32);

impl VersionNumber {
    pub(crate) const FIRST: VersionNumber = VersionNumber(NonZeroU32::MIN);

    /// The number, at least 1.
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// The number after this one, if there is one.
    pub(crate) fn next(self) -> Option<VersionNumber> {
        self.0.checked_add(1).map(VersionNumber)
    }
}

impl TryFrom<u32> for VersionNumber {
    type Error = std::num::TryFromIntError;

    /// Fails for 0.
    fn try_from(number: u32) -> Result<VersionNumber, Self::Error> {
        number.try_into().map(VersionNumber)
    }
}

impl fmt::Display for VersionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A component and the terms on which it runs. Never changed once deployed: other terms are another version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Names the component by its content.
    pub component: Digest,
    /// When it was deployed.
    pub deployed: UnixMillis,
    /// Who may call it.
    pub access: Access,
    /// What it was granted.
    pub capabilities: BTreeSet<Capability>,
    /// The hosts that it may send requests to, given that it was granted `outgoing-http`.
    pub outgoing_hosts: BTreeSet<HostPattern>,
    /// Its settings.
    pub config: Map<String, Value>,
    /// What one of its instances may use.
    pub limits: Limits,
    /// Most requests that it works on at a time; the server's default where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<NonZeroU32>,
    /// Most requests that wait for their turn; the server's default where absent, and with 0 none waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_queue: Option<u32>,
}

/// Milliseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnixMillis(pub u64);

/// Who may call a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Who shows the server's API key.
    Key,
    /// Everyone.
    Public,
}

/// What one instance may use. The server's default holds for what is absent, and its maximum for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Linear memory, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<NonZeroU32>,
    /// Time that it may compute for one request, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<NonZeroU64>,
    /// Time that one request may take by the clock on the wall, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<NonZeroU64>,
}
