//! Why the store could not be opened, read or written.

use std::{io, path::PathBuf};

use artifact::{BlobError, Digest, DiskError};

/// The store failed. Apart from the quota and unknown components, this is the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder belongs to a process that is running.
    #[error(
        "the folder `{0}` is in use by another process: stop that one, or choose another folder for this one"
    )]
    Locked(PathBuf),
    /// The record of what is deployed cannot be used.
    #[error(
        "`{path}`, the record of what is deployed, cannot be used: {why}. It was left as it is: put back a copy of it, or \
         move the folder `{folder}` away to begin with nothing deployed",
        folder = path.parent().unwrap_or(path).display(),
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The change cannot be written down.
    #[error("the change cannot be written down: {0}; are its settings nested too deep?")]
    Unwritable(String),
    /// A version's component was never put, or was removed since as no version named it.
    #[error("there is no component {0} here: upload it, then deploy it")]
    NoComponent(Digest),
    /// The quota of bytes is used up.
    #[error(
        "this component of {needed} bytes does not fit beside {used} bytes of others, with {max} in all: remove a function, \
         or have the operator raise the limit"
    )]
    TooManyBytes {
        /// Bytes of the component.
        needed: u64,
        /// Bytes of the components that are in use.
        used: u64,
        /// The quota.
        max: u64,
    },
    /// The folder cannot be made private, locked or measured.
    #[error("cannot {what} `{path}`: {source}; check whose it is and what the disk says")]
    Folder {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A component could not be kept or read.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl StoreError {
    /// Whether the operator's quota is the reason.
    pub fn is_quota(&self) -> bool {
        matches!(self, StoreError::TooManyBytes { .. })
    }
}
