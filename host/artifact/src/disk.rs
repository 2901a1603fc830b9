//! Changes on disk that are there in full or not at all, whenever the process or the machine stops.
//!
//! All changes go through [`Disk`], one small operation at a time, so that a test can stop before each of them and look at
//! what is left.

mod error;

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

pub use error::DiskError;

/// What a test gives to [`Disk::observed`].
type Hook = Arc<dyn Fn(&str) + Send + Sync>;

/// Files that are being written start and end like this, and nothing else does.
const TEMPORARY: (&str, &str) = (".", ".tmp");

/// The way to the disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct Disk {
    hook: Option<Hook>,
}

impl Disk {
    /// The disk as it is.
    pub fn new() -> Disk {
        Disk::default()
    }

    /// The disk, with a hook that is called before each operation that changes it, with the operation and its path, such as
    /// `write /data/.x.1-0.tmp`; for a write once more in its middle, `write the rest of …`, with half of the bytes written.
    /// A hook that panics or ends the process leaves what a crash there would leave.
    pub fn observed(hook: Hook) -> Disk {
        Disk { hook: Some(hook) }
    }

    fn observe(&self, operation: &str, path: &Path) {
        if let Some(hook) = &self.hook {
            hook(&format!("{operation} {}", path.display()));
        }
    }

    /// Makes `path` hold `bytes`, durably: after a crash it holds the old content or the new one, in full. The folder has to
    /// be there. A crash may leave a temporary file beside it, which [`Disk::sweep`] removes.
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        let (temporary, folder) = beside(path)?;
        let done = self
            .write_new(&temporary, bytes)
            .and_then(|()| self.sync(&temporary))
            .and_then(|()| self.rename(&temporary, path));
        if done.is_err() {
            // The first error is the one to report; what stays is swept at the next start.
            let _ = fs::remove_file(&temporary);
        }
        done?;
        self.sync_dir(folder)
    }

    /// Writes a file that must not be there yet. Not durable before [`Disk::sync`] and [`Disk::sync_dir`].
    pub fn write_new(&self, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        let failed = |e| DiskError::new("write", path, e);
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        self.observe("write", path);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(failed)?;
        file.write_all(first).map_err(failed)?;
        self.observe("write the rest of", path);
        file.write_all(rest).map_err(failed)
    }

    /// Waits until a file's content is on the disk itself.
    pub fn sync(&self, path: &Path) -> Result<(), DiskError> {
        self.observe("sync", path);
        File::open(path)
            .and_then(|file| file.sync_all())
            .map_err(|e| DiskError::new("sync", path, e))
    }

    /// Gives a file another name, in place of one that has it. Durable once the folder is synced.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.observe("rename to", to);
        fs::rename(from, to).map_err(|e| DiskError::new("rename a new file to", to, e))
    }

    /// Removes a file; none there is as good. Durable once the folder is synced.
    pub fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.observe("remove", path);
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(DiskError::new("remove", path, e)),
            _ => Ok(()),
        }
    }

    /// Waits until the names in a folder are on the disk itself: files that were written, renamed and removed in it.
    pub fn sync_dir(&self, folder: &Path) -> Result<(), DiskError> {
        self.observe("sync the folder", folder);
        File::open(folder)
            .and_then(|file| file.sync_all())
            .map_err(|e| DiskError::new("sync the folder", folder, e))
    }

    /// Makes a folder and those above it where they are missing, durably.
    pub fn create_dir(&self, folder: &Path) -> Result<(), DiskError> {
        if folder.is_dir() {
            return Ok(());
        }
        let above = parent(folder);
        self.create_dir(above)?;
        self.observe("create the folder", folder);
        match fs::create_dir(folder) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists || !folder.is_dir() => {
                Err(DiskError::new("create the folder", folder, e))
            }
            _ => self.sync_dir(above),
        }
    }

    /// Removes what a crash during [`Disk::replace`] left in a folder. For the start of the only process that writes there:
    /// another one's write would fail.
    pub fn sweep(&self, folder: &Path) -> Result<(), DiskError> {
        for name in self.names(folder)? {
            if name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1) {
                self.remove(&folder.join(name))?;
            }
        }
        Ok(())
    }

    /// The content of a file, if it is there.
    pub fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(DiskError::new("read", path, e)),
        }
    }

    /// The names in a folder, in order; those that are no UTF-8 are not ours and are left out.
    pub fn names(&self, folder: &Path) -> Result<Vec<String>, DiskError> {
        let failed = |e| DiskError::new("list the folder", folder, e);
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            names.extend(entry.map_err(failed)?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.hook {
            Some(_) => "Disk, observed",
            None => "Disk",
        })
    }
}

/// A name for a new file beside `path` that no other writer uses now, and the folder of both. Another process may have our
/// number, in another container; hence a name that is taken is passed over.
fn beside(path: &Path) -> Result<(PathBuf, &Path), DiskError> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let Some(name) = path.file_name() else {
        let no_name = io::Error::from(io::ErrorKind::InvalidFilename);
        return Err(DiskError::new("write", path, no_name));
    };
    let folder = parent(path);
    loop {
        let write = WRITES.fetch_add(1, Ordering::Relaxed);
        let (start, end) = TEMPORARY;
        let name = name.to_string_lossy();
        let temporary = folder.join(format!("{start}{name}.{}-{write}{end}", std::process::id()));
        if !temporary.exists() {
            return Ok((temporary, folder));
        }
    }
}

/// The folder that a path is in; the current one for a bare name.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

#[cfg(test)]
mod tests;
