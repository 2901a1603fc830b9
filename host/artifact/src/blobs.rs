//! A folder of components that are found by their content.

use std::path::{Path, PathBuf};

use crate::{Digest, Disk, DiskError};

/// Components in a folder, each in a file `sha256/<hexadecimal digits>`. For one process at a time; its threads may share it.
#[derive(Debug)]
pub struct Blobs {
    disk: Disk,
    /// The folder `sha256`.
    folder: PathBuf,
}

/// A component could not be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file of a component holds something else.
    #[error(
        "`{path}` no longer holds the component of its name, but something with the digest {found}: the disk or somebody \
         changed it; put the component there again, or deploy another version"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What its content is.
        found: Digest,
    },
}

impl Blobs {
    /// Opens the components of a folder, which is made if it is missing; removes what a crash left half written.
    pub fn open(disk: Disk, folder: &Path) -> Result<Blobs, BlobError> {
        let folder = folder.join("sha256");
        disk.create_dir(&folder)?;
        disk.sweep(&folder)?;
        // A name that the last process gave may not be on the disk yet, and `put` would take it for kept.
        disk.sync_dir(&folder)?;
        Ok(Blobs { disk, folder })
    }

    /// Keeps a component, durably once this returns. One that is there already is not written again, unless it was damaged.
    pub fn put(&self, wasm: &[u8]) -> Result<Digest, BlobError> {
        let digest = Digest::of(wasm);
        match self.get(&digest) {
            Ok(Some(_)) => Ok(digest),
            Ok(None) | Err(BlobError::Damaged { .. }) => {
                self.disk.replace(&self.path(&digest), wasm)?;
                Ok(digest)
            }
            Err(e @ BlobError::Disk(_)) => Err(e),
        }
    }

    /// The component with this digest, if it is there. Fails where the file holds anything else.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, BlobError> {
        let path = self.path(digest);
        let Some(wasm) = self.disk.read(&path)? else {
            return Ok(None);
        };
        match Digest::of(&wasm) {
            found if found == *digest => Ok(Some(wasm)),
            found => Err(BlobError::Damaged { path, found }),
        }
    }

    /// Removes a component; none there is as good.
    pub fn remove(&self, digest: &Digest) -> Result<(), BlobError> {
        self.disk.remove(&self.path(digest))?;
        Ok(self.disk.sync_dir(&self.folder)?)
    }

    /// The digests of all components that are there, in order. Other files are passed over.
    pub fn list(&self) -> Result<Vec<Digest>, BlobError> {
        let names = self.disk.names(&self.folder)?;
        Ok(names
            .iter()
            .filter_map(|name| Digest::from_hex(name).ok())
            .collect())
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use super::*;

    fn open(folder: &Path) -> Blobs {
        Blobs::open(Disk::new(), folder).unwrap()
    }

    #[test]
    fn what_was_put_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let digest = open(folder.path()).put(b"component").unwrap();
        let blobs = open(folder.path());
        assert_eq!(blobs.get(&digest).unwrap().unwrap(), b"component");
        assert_eq!(blobs.list().unwrap(), [digest]);
        assert!(folder.path().join("sha256").join(digest.hex()).is_file());
    }

    #[test]
    fn what_is_there_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).put(b"component").unwrap();
        let no_writes = |operation: &str| assert!(!operation.starts_with("write"), "{operation}");
        let blobs = Blobs::open(Disk::observed(Arc::new(no_writes)), folder.path()).unwrap();
        blobs.put(b"component").unwrap();
    }

    #[test]
    fn what_is_removed_is_gone_and_can_be_removed_again() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = open(folder.path());
        let digest = blobs.put(b"component").unwrap();
        blobs.remove(&digest).unwrap();
        blobs.remove(&digest).unwrap();
        assert_eq!(blobs.get(&digest).unwrap(), None);
        assert_eq!(blobs.list().unwrap(), []);
    }

    #[test]
    fn a_damaged_component_is_refused_until_it_is_put_again() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = open(folder.path());
        let digest = blobs.put(b"component").unwrap();
        fs::write(blobs.path(&digest), b"componenT").unwrap();
        let error = blobs.get(&digest).unwrap_err();
        assert!(matches!(&error, BlobError::Damaged { .. }), "{error}");
        blobs.put(b"component").unwrap();
        assert_eq!(blobs.get(&digest).unwrap().unwrap(), b"component");
    }

    #[test]
    fn half_written_components_are_removed_and_other_files_are_left() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = open(folder.path());
        let digest = blobs.put(b"component").unwrap();
        let half = format!(".{}.7-0.tmp", digest.hex());
        for name in [half.as_str(), "README"] {
            fs::write(folder.path().join("sha256").join(name), "comp").unwrap();
        }
        let blobs = open(folder.path());
        assert_eq!(blobs.list().unwrap(), [digest]);
        let names = Disk::new().names(&folder.path().join("sha256")).unwrap();
        assert_eq!(names, [digest.hex(), "README".into()]);
    }
}
