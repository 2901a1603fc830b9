//! What the disk refused, and what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

/// The disk refused an operation.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} `{path}`: {source}{}", hint(source.kind()))]
pub struct DiskError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl DiskError {
    pub(crate) fn new(operation: &'static str, path: &Path, source: io::Error) -> DiskError {
        DiskError {
            operation,
            path: path.into(),
            source,
        }
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

fn hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room there",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; let the user that runs this use the folder, or choose another one"
        }
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "; check the path",
        _ => "",
    }
}
