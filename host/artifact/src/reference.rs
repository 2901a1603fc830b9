//! The name of a component in a registry.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Digest, HostPattern};

/// Most letters of a repository's name, and of a tag.
const MAX_REPOSITORY: usize = 255;
const MAX_TAG: usize = 128;

/// A registry, a repository in it, and a tag there or the digest of a manifest: `registry.example.com/repo:tag` or
/// `registry.example.com/repo@sha256:…`. Nothing is filled in: neither a registry nor a tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    revision: Revision,
}

/// Which of a repository's contents is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revision {
    /// What has this tag at the time. It may have been moved since.
    Tag(String),
    /// What has this digest: the digest of its manifest, not of the component in it.
    Digest(Digest),
}

/// A text that should have been the name of a component in a registry.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "`{text}` names nothing in a registry: {why}; write `registry.example.com/repo:tag` or \
     `registry.example.com/repo@sha256:…`"
)]
pub struct NotAReference {
    text: String,
    why: &'static str,
}

impl Reference {
    /// The registry's host, with its port where one is written.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository's name, slashes included.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Which of the repository's contents is meant.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The same repository's content with this manifest.
    pub fn at(&self, manifest: Digest) -> Reference {
        Reference {
            revision: Revision::Digest(manifest),
            ..self.clone()
        }
    }

    /// Whether the registry is on this machine, where it is spoken to without TLS.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = match self.registry.rfind(']') {
            Some(end) => &self.registry[1..end],
            None => self.registry.split(':').next().unwrap_or_default(),
        };
        host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }
}

impl FromStr for Reference {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Reference, NotAReference> {
        parse(text).map_err(|why| NotAReference {
            text: text.chars().take(200).collect(),
            why,
        })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    let (registry, rest) = text
        .split_once('/')
        .ok_or("there is no `/` after the registry")?;
    let (repository, revision) = match rest.split_once('@') {
        Some((repository, _)) if repository.contains(':') => {
            return Err("it is to have a tag or a digest, not both");
        }
        Some((repository, digest)) => {
            let digest = digest.parse().map_err(|_| "its digest is none")?;
            (repository, Revision::Digest(digest))
        }
        None => {
            let (repository, tag) = rest
                .split_once(':')
                .ok_or("it has neither a tag nor a digest")?;
            (repository, Revision::Tag(check_tag(tag)?.into()))
        }
    };
    Ok(Reference {
        registry: check_registry(registry)?.to_ascii_lowercase(),
        repository: check_repository(repository)?.into(),
        revision,
    })
}

fn check_registry(text: &str) -> Result<&str, &'static str> {
    let is_host = !text.starts_with('*') && text.parse::<HostPattern>().is_ok();
    // Without a point or a port it is more likely that the registry was left out.
    let named = text == "localhost" || text.contains(['.', ':']);
    match is_host && named {
        true => Ok(text),
        false => Err("it does not begin with a registry's host"),
    }
}

fn check_repository(text: &str) -> Result<&str, &'static str> {
    let good = |part: &str| {
        let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(end)
            && part.ends_with(end)
            && part.chars().all(|c| end(c) || matches!(c, '-' | '_' | '.'))
            && !part.contains("..")
    };
    match text.len() <= MAX_REPOSITORY && text.split('/').all(good) {
        true => Ok(text),
        false => Err(
            "a repository's name is made of lower-case letters, digits, and `-`, `_`, `.` and `/` between them",
        ),
    }
}

fn check_tag(text: &str) -> Result<&str, &'static str> {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let good = text.starts_with(letter)
        && text.len() <= MAX_TAG
        && text.chars().all(|c| letter(c) || matches!(c, '-' | '.'));
    match good {
        true => Ok(text),
        false => Err("a tag is made of letters, digits, `_`, `-` and `.`"),
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match &self.revision {
            Revision::Tag(tag) => write!(f, ":{tag}"),
            Revision::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

impl TryFrom<String> for Reference {
    type Error = NotAReference;

    fn try_from(text: String) -> Result<Reference, NotAReference> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> String {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_reads_back_what_it_writes() {
        let digest = Digest::of(b"").to_string();
        for text in [
            "registry.example.com/repo:tag",
            "registry.example.com:5000/team/my-plugin:1.2.3-beta.1",
            "localhost/repo:latest",
            "127.0.0.1:5000/a/b/c_d:v1",
            "[::1]:5000/repo:v1",
            &format!("registry.example.com/repo@{digest}"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
        }
    }

    #[test]
    fn what_leaves_something_out_or_says_too_much_is_refused() {
        let digest = Digest::of(b"").to_string();
        for bad in [
            "",
            "repo",
            "repo:tag",
            "library/repo:tag",
            "registry.example.com/repo",
            "registry.example.com/repo:",
            "registry.example.com/:tag",
            "registry.example.com/Repo:tag",
            "registry.example.com/a//b:tag",
            "registry.example.com/../b:tag",
            "registry.example.com/a/..:tag",
            "registry.example.com/a?ns=b:tag",
            "registry.example.com/repo:t/g",
            "registry.example.com/repo:.t",
            "registry.example.com/repo@sha256:abc",
            "registry.example.com/repo@md5:abc",
            &format!("registry.example.com/repo:tag@{digest}"),
            "https://registry.example.com/repo:tag",
            "user@registry.example.com/repo:tag",
            "*.example.com/repo:tag",
            "registry.example.com:port/repo:tag",
            &format!("registry.example.com/{}:tag", "a".repeat(256)),
            &format!("registry.example.com/a:{}", "a".repeat(129)),
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (registry, expected) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.8.9.10", true),
            ("[::1]:5000", true),
            ("[::1]", true),
            ("[::2]:5000", false),
            ("10.0.0.1:5000", false),
            ("localhost.example.com", false),
            ("127.0.0.1.example.com", false),
        ] {
            let reference: Reference = format!("{registry}/repo:tag").parse().unwrap();
            assert_eq!(reference.is_loopback(), expected, "{registry}");
        }
    }
}
