//! What is wrong with a manifest, or with the component that carries it.

use super::Manifest;
use crate::{Capability, NotAComponent, Role};

/// There is no manifest to be had from a text or a component.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, or a key without or with a wrong value.
    #[error("plugin.toml: {0}")]
    Toml(String),
    /// A key that means nothing.
    #[error("plugin.toml, line {line}: {} is unknown; {hint}", place(table, key))]
    UnknownKey {
        /// The key.
        key: String,
        /// The table that it is in; empty at the top.
        table: &'static str,
        /// The line that it is in, from 1.
        line: usize,
        /// What was probably meant.
        hint: String,
    },
    /// A capability that plugins in the path of a request cannot be given.
    #[error(
        "plugin.toml asks for the capability `{capability}`, which only functions can be given, and this is a {role}: leave it \
         out of `capabilities`"
    )]
    OnlyForFunctions {
        /// What it asks for.
        capability: Capability,
        /// What it is.
        role: Role,
    },
    /// A table that does nothing.
    #[error(
        "plugin.toml has a table [{0}] and does not ask for `{1}`: add it to `capabilities`, or remove the table"
    )]
    TableWithoutCapability(&'static str, Capability),
    /// Outgoing requests to nowhere.
    #[error(
        "plugin.toml asks for `outgoing-http` and names no hosts: add them, as in\n[outgoing-http]\nhosts = \
         [\"api.example.com\"]"
    )]
    NoHosts,
    /// A text beyond all measure.
    #[error(
        "plugin.toml has {len} bytes, and {} are the most: shorten its schema or description",
        Manifest::MAX_LEN
    )]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// Bytes that are no component, so that no manifest can be in them.
    #[error(transparent)]
    NotAComponent(#[from] NotAComponent),
    /// More than one manifest.
    #[error("the component carries {0} manifests: build it anew, and embed one")]
    Several(usize),
    /// A manifest in another encoding.
    #[error("the component's manifest is not UTF-8 text: embed it anew")]
    NotUtf8,
}

fn place(table: &str, key: &str) -> String {
    match table {
        "" => format!("the key `{key}`"),
        _ => format!("the key `{key}` in [{table}]"),
    }
}

impl From<toml::de::Error> for ManifestError {
    fn from(error: toml::de::Error) -> ManifestError {
        ManifestError::Toml(error.to_string().trim_end().into())
    }
}
