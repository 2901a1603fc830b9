//! What this tool has to know of a `plugin.toml`. The host reads the whole of it, and refuses what is wrong in the rest.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde::Deserialize;

/// What a plugin is for, and what it asks for.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) role: Role,
    #[serde(default)]
    pub(crate) capabilities: BTreeSet<String>,
}

/// What a plugin is for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    Router,
    Shaper,
    ChatTemplate,
    Function,
}

impl Manifest {
    pub(crate) fn parse(text: &str) -> Result<Manifest> {
        toml::from_str(text).context("it cannot be read")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_and_capabilities_are_read_among_keys_that_are_the_host_s() {
        let text =
            "id = \"a\"\nrole = \"chat-template\"\ncapabilities = [\"log\"]\n[config.schema]\n";
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!(manifest.role, Role::ChatTemplate);
        assert_eq!(manifest.capabilities, BTreeSet::from(["log".to_owned()]));
    }

    #[test]
    fn a_role_that_is_not_known_is_refused() {
        assert!(Manifest::parse("role = \"filter\"").is_err());
    }
}
