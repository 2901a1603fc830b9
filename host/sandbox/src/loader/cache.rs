//! Machine code of plugins, kept between runs: loading it takes under a millisecond, compiling it seconds.
//!
//! The runtime trusts such a file as it trusts the host's own code, so only files that this user wrote, in a folder only
//! this user can write, are read, and each begins with a digest of the rest: a torn or damaged one is compiled anew.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wasmtime::Engine;
use wasmtime::component::Component;
use xxhash_rust::xxh3::xxh3_128;

use crate::error::SandboxError;
use crate::plugin::Origin;

/// Bytes of the digest at the beginning of a file.
const DIGEST_LEN: usize = 16;

/// Permission bits that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;

/// A folder of compiled plugins.
#[derive(Debug)]
pub struct AotCache {
    dir: PathBuf,
    /// The user that this process runs as.
    owner: u32,
}

impl AotCache {
    /// Uses a folder, which is made (for this user alone) if need be. Refuses one that others own or can write to.
    pub fn open(dir: impl Into<PathBuf>) -> Result<AotCache, SandboxError> {
        let dir = dir.into();
        match prepare(&dir) {
            Ok(owner) => Ok(AotCache { dir, owner }),
            Err(why) => Err(SandboxError::Cache { path: dir, why }),
        }
    }

    /// The component from the cache, or else by `compile`, whose result is then kept for the next time.
    pub(super) fn load_or_compile(
        &self,
        engine: &Engine,
        sha256: &str,
        compile: impl FnOnce() -> wasmtime::Result<Component>,
    ) -> wasmtime::Result<(Component, Origin)> {
        let path = self.dir.join(file_name(engine, sha256));
        let origin = match self.read(engine, &path) {
            Ok(Some(component)) => return Ok((component, Origin::Cached)),
            Ok(None) => Origin::Compiled,
            Err(reason) => Origin::Recompiled { reason },
        };
        if let Origin::Recompiled { reason } = &origin {
            tracing::warn!(path = %path.display(), reason, "compiled plugin ignored, compiling it anew");
        }
        let component = compile()?;
        if let Err(e) = self.write(&path, &component.serialize()?) {
            tracing::warn!(path = %path.display(), "compiled plugin not kept, the next start compiles it again: {e}");
        }
        Ok((component, origin))
    }

    /// `None` if there is no file, an error if it cannot be trusted.
    fn read(&self, engine: &Engine, path: &Path) -> Result<Option<Component>, String> {
        // Not following links: the folder is ours, but a link in it may lead anywhere.
        match fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(format!("cannot look at it: {e}")),
            Ok(meta) if !meta.is_file() => return Err("it is not a plain file".into()),
            Ok(meta) if meta.uid() != self.owner => {
                return Err(format!("it belongs to user {}", meta.uid()));
            }
            Ok(meta) if meta.mode() & OTHERS_WRITE != 0 => {
                return Err("others can write to it".into());
            }
            Ok(_) => {}
        }
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(|e| format!("cannot read it: {e}"))?;
        let Some((digest, code)) = bytes.split_first_chunk::<DIGEST_LEN>() else {
            return Err("it is cut short".into());
        };
        if checksum(code) != *digest {
            return Err("its digest is wrong".into());
        }
        #[expect(
            unsafe_code,
            reason = "the runtime has no safe way to load machine code"
        )]
        // SAFETY: `deserialize` needs bytes that `Component::serialize` of a compatible engine made. The digest shows that
        // they are what was written, owner and permissions that only this user can have written them, and the file's name
        // holds the hash under which engines are compatible.
        let component = unsafe { Component::deserialize(engine, code) };
        component
            .map(Some)
            .map_err(|e| format!("the runtime refuses it: {e:#}"))
    }

    /// Writes beside the file and renames, so that a reader never sees half a file. Not synced: the digest finds what a
    /// crash tore.
    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        let unfinished = unused_path(&self.dir);
        let written = write_private(&unfinished, &[&checksum(code), code])
            .and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            // It may not have been made at all; the error that matters is the first.
            let _ = fs::remove_file(&unfinished);
        }
        written
    }
}

/// Finds damage, not forgery: nobody else can write here. A cryptographic digest would take longer than all the rest.
fn checksum(code: &[u8]) -> [u8; DIGEST_LEN] {
    xxh3_128(code).to_le_bytes()
}

/// Named after what the code was made from and all that it depends on.
fn file_name(engine: &Engine, sha256: &str) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{sha256}-{:016x}.cwasm", hasher.finish())
}

/// Makes the folder fit; returns the user that this process runs as.
fn prepare(dir: &Path) -> Result<u32, String> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| format!("cannot make it: {e}"))?;
    // A new file belongs to whoever made it: that tells our user without a system call of its own.
    let probe = unused_path(dir);
    let owner = write_private(&probe, &[])
        .and_then(|()| fs::metadata(&probe))
        .map(|meta| meta.uid());
    let _ = fs::remove_file(&probe);
    let owner = owner.map_err(|e| format!("cannot write to it: {e}"))?;
    let meta = fs::metadata(dir).map_err(|e| format!("cannot look at it: {e}"))?;
    if meta.uid() != owner {
        return Err(format!(
            "it belongs to user {}, and this process runs as {owner}: give another folder",
            meta.uid()
        ));
    }
    if meta.mode() & OTHERS_WRITE != 0 {
        return Err(
            "others can write to it, and with it change the code that runs here: chmod go-w it"
                .into(),
        );
    }
    Ok(owner)
}

/// A path that nobody else uses now: processes and caches in one process may share the folder.
fn unused_path(dir: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let unique = NEXT.fetch_add(1, Relaxed);
    dir.join(format!(".{}-{unique}.unfinished", process::id()))
}

/// Writes a new file that only this user can read. One that a crash left under the name goes first; never through a link,
/// as the folder is not known to be ours until this was done in it once.
fn write_private(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))
}
