//! Where a component comes from, as it is written on the command line and in the operator's files.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Digest, NotADigest, NotAReference, Reference};

/// What a reference begins with.
const OCI: &str = "oci:";

/// What a digest begins with.
const SHA256: &str = "sha256:";

/// Where a component comes from: `./x.wasm`, `sha256:…` or `oci:registry.example.com/repo:tag`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// A file.
    Path(PathBuf),
    /// One that is here already.
    Digest(Digest),
    /// One in a registry.
    Oci(Reference),
}

/// A text that says of no place where a component could come from.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotASource {
    /// Nothing.
    #[error(
        "the source of a component is empty: write a path, `sha256:…` or `oci:registry.example.com/repo:tag`"
    )]
    Empty,
    /// A place of another kind.
    #[error(
        "`{0}` is no source of components: write a path, `sha256:…` or `oci:registry.example.com/repo:tag`; a path with a \
         colon in its first part begins with `./`"
    )]
    OtherKind(String),
    /// A digest that is none.
    #[error(transparent)]
    Digest(#[from] NotADigest),
    /// A name in a registry that is none.
    #[error(transparent)]
    Reference(#[from] NotAReference),
}

impl FromStr for Source {
    type Err = NotASource;

    fn from_str(text: &str) -> Result<Source, NotASource> {
        if let Some(reference) = text.strip_prefix(OCI) {
            return Ok(Source::Oci(reference.parse()?));
        }
        if text.starts_with(SHA256) {
            return Ok(Source::Digest(text.parse()?));
        }
        match text.split('/').next() {
            None | Some("") if text.is_empty() => Err(NotASource::Empty),
            Some(first) if first.contains(':') => {
                Err(NotASource::OtherKind(text.chars().take(200).collect()))
            }
            _ => Ok(Source::Path(text.into())),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path(path) => write!(f, "{}", path.display()),
            Source::Digest(digest) => write!(f, "{digest}"),
            Source::Oci(reference) => write!(f, "{OCI}{reference}"),
        }
    }
}

impl TryFrom<String> for Source {
    type Error = NotASource;

    fn try_from(text: String) -> Result<Source, NotASource> {
        text.parse()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> String {
        source.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_reads_back_what_it_writes() {
        let digest = Digest::of(b"").to_string();
        for (text, kind) in [
            ("./x.wasm", "path"),
            ("x.wasm", "path"),
            ("/a/b:c.wasm", "path"),
            ("./b:c.wasm", "path"),
            ("oci/registry", "path"),
            (digest.as_str(), "digest"),
            ("oci:registry.example.com/repo:tag", "oci"),
            (&format!("oci:registry.example.com/repo@{digest}"), "oci"),
        ] {
            let source: Source = text.parse().unwrap();
            assert_eq!(source.to_string(), text);
            let found = match source {
                Source::Path(_) => "path",
                Source::Digest(_) => "digest",
                Source::Oci(_) => "oci",
            };
            assert_eq!(found, kind, "{text}");
        }
    }

    #[test]
    fn other_places_are_refused_in_words() {
        for (bad, expected) in [
            ("", "is empty"),
            ("https://example.com/x.wasm", "is no source of components"),
            ("file:///x.wasm", "is no source of components"),
            ("docker:repo", "is no source of components"),
            ("C:\\x.wasm", "is no source of components"),
            ("sha256:abc", "is no digest"),
            ("oci:repo", "names nothing in a registry"),
            (
                "oci://registry.example.com/repo:tag",
                "names nothing in a registry",
            ),
        ] {
            let error = bad.parse::<Source>().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
