//! What is deployed, on disk.
//!
//! A folder has `deployments.json`, which is replaced as a whole, and `blobs/sha256/` with the components. A component is
//! on disk before the record names it, and goes only after a record that does not name it is durable. So a crash leaves
//! either record, and all that it names.

mod error;

use std::{
    collections::{BTreeSet, VecDeque},
    fs::{self, File, Permissions, TryLockError},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use artifact::{Blobs, Digest, Disk};

pub use error::StoreError;

use crate::{
    deployments::{Deployments, Quota},
    state_file,
};

/// What is deployed, in a folder of which this process is the only user.
#[derive(Debug)]
pub struct Store {
    folder: Folder,
    disk: Disk,
    blobs: Blobs,
    current: Deployments,
    /// The components of states that could not be written for sure: one of them may be what the disk has.
    in_doubt: BTreeSet<Digest>,
    /// Components that were put for versions that are not there yet, oldest first: others' commits leave them in peace.
    waiting: VecDeque<Digest>,
}

/// How many components may wait to be named. The oldest gives way to one more.
const MAX_WAITING: usize = 64;

impl Store {
    /// Opens the folder, which is made if it is missing, readable by nobody else, and removes what no version names.
    ///
    /// Fails where another process has it, and where the record of what is deployed is damaged or missing. A missing or
    /// damaged component is no reason to fail: [`Store::component`] tells of it, and the other functions can serve.
    pub fn open(dir: &Path, disk: Disk, quota: Quota) -> Result<Store, StoreError> {
        disk.create_dir(dir)?;
        let folder = Folder::lock(dir)?;
        disk.sweep(dir)?;
        // The last process may have been stopped between a new record and this; nothing that an older one names can go before.
        disk.sync_dir(dir)?;
        let blobs = Blobs::open(disk.clone(), &folder.blobs())?;
        let path = folder.record();
        let damaged = |why: String| StoreError::Damaged {
            path: path.clone(),
            why,
        };
        let (new, current) = match disk.read(&path)? {
            Some(text) => (false, state_file::decode(&text, quota).map_err(damaged)?),
            None if blobs.list()?.is_empty() => (true, Deployments::new(quota)),
            None => {
                return Err(damaged(
                    "it is missing, and there are components beside it".into(),
                ));
            }
        };
        let mut store = Store {
            folder,
            disk,
            blobs,
            current,
            in_doubt: BTreeSet::new(),
            waiting: VecDeque::new(),
        };
        if new {
            // Written before the first component, so that components without a record are always damage.
            store.write(store.current.clone())?;
        }
        store.remove_unnamed()?;
        Ok(store)
    }

    /// What is deployed now.
    pub fn deployments(&self) -> &Deployments {
        &self.current
    }

    /// Keeps a component, durably, for a version that is to be committed. It waits for that until the store is closed, many
    /// others were put after it, or a later `put` needs its room. Fails if it does not fit into the quota, and then writes nothing.
    pub fn put(&mut self, component: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(component);
        let max = self.current.quota().max_bytes;
        let needed = component.len() as u64;
        let mut used = self.bytes_beside(&digest)?;
        if used.saturating_add(needed) > max {
            self.waiting.clear();
            self.remove_unnamed()?;
            used = self.bytes_beside(&digest)?;
        }
        if used.saturating_add(needed) > max {
            return Err(StoreError::TooManyBytes { needed, used, max });
        }
        self.blobs.put(component)?;
        // Even one that is named already: whoever names it may be gone before this version comes.
        self.waiting.retain(|waiting| *waiting != digest);
        self.waiting.push_back(digest);
        if self.waiting.len() > MAX_WAITING {
            self.waiting.pop_front();
        }
        Ok(digest)
    }

    /// The component with this digest, if it is there. Fails where its file holds anything else.
    pub fn component(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.blobs.get(digest)?)
    }

    /// Changes what is deployed: `change` makes the new state from the current one, which becomes current once it is on
    /// disk. After an error nothing has changed here; where the disk failed, the change may show after the next start.
    ///
    /// Components that no version names any more are removed then, but for those that wait to be named. Each component that a change brings in has to be put first.
    pub fn commit<E: From<StoreError>>(
        &mut self,
        change: impl FnOnce(&Deployments) -> Result<Deployments, E>,
    ) -> Result<&Deployments, E> {
        let new = change(&self.current)?;
        let before = self.current.components();
        self.write(new)?;
        let named = self.current.components();
        let came = |digest: &Digest| named.contains(digest) && !before.contains(digest);
        self.waiting.retain(|waiting| !came(waiting));
        // The change is done, whatever becomes of this: it is tried again at the next commit and at the next start.
        let _ = self.remove_unnamed();
        Ok(&self.current)
    }

    fn write(&mut self, new: Deployments) -> Result<(), StoreError> {
        let components = new.components();
        for digest in components.difference(&self.current.components()) {
            self.folder
                .size(digest)?
                .ok_or(StoreError::NoComponent(*digest))?;
        }
        let text = state_file::encode(&new).map_err(StoreError::Unwritable)?;
        self.in_doubt.extend(components);
        self.disk.replace(&self.folder.record(), &text)?;
        self.in_doubt.clear();
        self.current = new;
        Ok(())
    }

    fn remove_unnamed(&self) -> Result<(), StoreError> {
        let named = self.current.components();
        for digest in self.blobs.list()? {
            let kept = named.contains(&digest)
                || self.in_doubt.contains(&digest)
                || self.waiting.contains(&digest);
            if !kept {
                self.blobs.remove(&digest)?;
            }
        }
        Ok(())
    }

    /// Bytes of all components but this one.
    fn bytes_beside(&self, digest: &Digest) -> Result<u64, StoreError> {
        let others = self
            .blobs
            .list()?
            .into_iter()
            .filter(|other| other != digest);
        others
            .map(|other| Ok(self.folder.size(&other)?.unwrap_or(0)))
            .sum()
    }
}

/// The folder and its lock, which is given up on drop.
#[derive(Debug)]
struct Folder {
    dir: PathBuf,
    lock: File,
}

impl Folder {
    /// Makes the folder private, which covers all that is in it, and locks it.
    fn lock(dir: &Path) -> Result<Folder, StoreError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Folder { what, path, source }
        };
        fs::set_permissions(dir, Permissions::from_mode(0o700))
            .map_err(failed("make private", dir))?;
        let path = dir.join("lock");
        let mut options = File::options();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(&path).map_err(failed("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Folder {
                dir: dir.to_owned(),
                lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked(dir.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
        }
    }

    fn record(&self) -> PathBuf {
        self.dir.join("deployments.json")
    }

    fn blobs(&self) -> PathBuf {
        self.dir.join("blobs")
    }

    /// Bytes of a component, if it is there.
    fn size(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        let path = self.blobs().join("sha256").join(digest.hex());
        match fs::metadata(&path) {
            Ok(file) => Ok(Some(file.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Folder {
                what: "measure",
                path,
                source,
            }),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Closing the file is not enough while a process that was forked off at this moment has it too.
        let _ = self.lock.unlock();
    }
}
