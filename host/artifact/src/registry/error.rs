//! Why a component cannot be had from a registry, or put there.

use std::time::Duration;

use crate::{Digest, InspectError};

/// A component cannot be had from a registry, or put there. References are as they are written.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The client cannot be made: no cryptography, or no certificates to trust.
    #[error("cannot speak to registries: {0}")]
    NoClient(String),
    /// There is no answer.
    #[error("cannot reach the registry of `{reference}`: {why}; check its name, and that it runs")]
    Unreachable {
        /// What was asked for.
        reference: String,
        /// What the connection said.
        why: String,
    },
    /// The answer takes too long.
    #[error("`{reference}` took longer than {} s: try again, or raise the limit", after.as_secs_f32())]
    TimedOut {
        /// What was asked for.
        reference: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// There is no such thing.
    #[error(
        "there is no `{0}`: check its spelling, push it first, or set HOST_REGISTRY_USER and HOST_REGISTRY_PASSWORD if it is \
         private"
    )]
    NotFound(String),
    /// It is there for others.
    #[error(
        "the registry does not let us at `{0}`: set HOST_REGISTRY_USER and HOST_REGISTRY_PASSWORD to an account that may"
    )]
    Unauthorized(String),
    /// Something else that the registry says.
    #[error("the registry refuses `{reference}`: {why}")]
    Refused {
        /// What was asked for.
        reference: String,
        /// What the registry said.
        why: String,
    },
    /// It is no WebAssembly artifact.
    #[error(
        "`{reference}` is no WebAssembly component: {found}; push components with `host plugin push`"
    )]
    OtherShape {
        /// What was asked for.
        reference: String,
        /// What it is.
        found: String,
    },
    /// It is more than wanted.
    #[error(
        "`{reference}` has {len} bytes, and {max} are the most: build it smaller, or raise the limit"
    )]
    TooLarge {
        /// What was asked for, or was to be pushed.
        reference: String,
        /// Its length in bytes, as its manifest says.
        len: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// The manifest is not the one that was asked for.
    #[error(
        "the registry answered for `{reference}` with another manifest, {found}: do not trust it, and ask its operator"
    )]
    OtherManifest {
        /// What was asked for.
        reference: String,
        /// The digest of what came.
        found: String,
    },
    /// The component is not the one that the manifest names.
    #[error(
        "the component of `{reference}` is not the {named} that its manifest names, but {found}: do not trust it, and push it \
         again"
    )]
    OtherLayer {
        /// What was asked for.
        reference: String,
        /// The digest that the manifest names.
        named: Digest,
        /// What came.
        found: String,
    },
    /// Digests are no names that can be given.
    #[error("cannot push to `{0}`: give a tag in place of the digest")]
    NoTag(String),
    /// It is nothing that this host could run.
    #[error(transparent)]
    NotRunnable(#[from] InspectError),
}
