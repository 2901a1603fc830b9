//! Components from wherever they are: a file, this machine's store of components, or a registry.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use artifact::{
    Blobs, Credentials, Digest, Disk, Lock, Pin, Reference, RegistryClient, RegistryOptions, Source,
};

/// Names the user of registries in the environment.
const REGISTRY_USER: &str = "HOST_REGISTRY_USER";
const REGISTRY_PASSWORD: &str = "HOST_REGISTRY_PASSWORD";

/// Where components that were pulled are kept.
pub(crate) fn blobs() -> Result<Blobs> {
    let folder = model::demo::cache_dir().join("components");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Blobs::open(Disk::new(), &folder).with_context(|| format!("cannot use {}", folder.display()))
}

/// A client of registries, with the credentials of the environment.
pub(crate) fn registry() -> Result<RegistryClient> {
    let given = |name| std::env::var(name).ok();
    let credentials = Credentials::new(given(REGISTRY_USER), given(REGISTRY_PASSWORD))?;
    let options = RegistryOptions {
        credentials,
        ..RegistryOptions::default()
    };
    Ok(RegistryClient::new(options)?)
}

/// The bytes of a component.
pub(crate) async fn fetch(source: &Source) -> Result<Vec<u8>> {
    match source {
        Source::Path(path) => read(path),
        Source::Digest(digest) => by_digest(digest),
        Source::Oci(reference) => {
            let pulled = registry()?.pull(reference).await?;
            Ok(pulled.wasm)
        }
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read the component {}", path.display()))
}

pub(crate) fn by_digest(digest: &Digest) -> Result<Vec<u8>> {
    let Some(wasm) = blobs()?.get(digest)? else {
        bail!(
            "there is no component {digest} on this machine: pull it first (host plugin pull oci:…)"
        );
    };
    Ok(wasm)
}

/// What a reference stood for when it was first pulled; that is pinned now if it was not. The component is kept on this machine,
/// so that the registry is asked once.
pub(crate) async fn pull_locked(reference: &Reference, lock: &mut Lock) -> Result<Vec<u8>> {
    let blobs = blobs()?;
    if let Some(pinned) = lock.get(reference) {
        if let Some(wasm) = blobs.get(&pinned.wasm)? {
            return Ok(wasm);
        }
        // By its digest, not by its tag, which may stand for something else by now.
        let pulled = registry()?.pull(&reference.at(pinned.manifest)).await?;
        ensure!(
            pulled.digest == pinned.wasm,
            "{reference} holds {}, and plugins.lock says {}: the lock was edited by hand",
            pulled.digest,
            pinned.wasm
        );
        blobs.put(&pulled.wasm)?;
        return Ok(pulled.wasm);
    }
    let pulled = registry()?.pull(reference).await?;
    blobs.put(&pulled.wasm)?;
    lock.pin(reference.clone(), Pin::from(&pulled));
    Ok(pulled.wasm)
}
