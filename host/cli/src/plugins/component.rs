//! Where an entry's component comes from, and that it is the one that was meant.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use artifact::{Digest, Lock, Reference};

use super::Entry;
use crate::{builtin, components};

/// What the tags of a plugin file stood for, beside it.
pub(super) const LOCK_FILE: &str = "plugins.lock";

impl Entry {
    /// The bytes of the component.
    pub(super) async fn component(&self, folder: &Path, lock: &mut Lock) -> Result<Vec<u8>> {
        let wasm = self.find(folder, lock).await?;
        if let Some(wanted) = &self.digest {
            let found = Digest::of(&wasm);
            ensure!(
                *wanted == found,
                "plugin `{}` is {found}, and its entry says {wanted}: correct the digest, or put the component back that it names",
                self.name
            );
        }
        Ok(wasm)
    }

    async fn find(&self, folder: &Path, lock: &mut Lock) -> Result<Vec<u8>> {
        match (&self.path, &self.oci, &self.digest) {
            (Some(_), Some(_), _) => bail!(
                "plugin `{}` has a path and an oci reference: leave one of them out",
                self.name
            ),
            (Some(path), None, _) => {
                let path = folder.join(path);
                components::read(&path).with_context(|| format!("plugin `{}`", self.name))
            }
            (None, Some(reference), _) => {
                let reference: Reference = reference
                    .parse()
                    .with_context(|| format!("plugin `{}`", self.name))?;
                let pulled = components::pull_locked(&reference, lock).await;
                pulled.with_context(|| format!("plugin `{}`", self.name))
            }
            (None, None, Some(digest)) => {
                components::by_digest(digest).with_context(|| format!("plugin `{}`", self.name))
            }
            (None, None, None) => self.builtin_component(),
        }
    }

    fn builtin_component(&self) -> Result<Vec<u8>> {
        let mut builtins = builtin::PLUGINS.iter();
        let Some(builtin) = builtins.find(|builtin| builtin.name == self.name) else {
            let known = builtin::PLUGINS.map(|builtin| builtin.name).join(", ");
            bail!(
                "plugin `{}` has no source and is not built in (built in are {known}): add path, oci or digest",
                self.name
            )
        };
        Ok(builtin.wasm.to_vec())
    }
}
