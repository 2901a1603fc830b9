//! The operator's plugin file: which components serve, what they may import, and their settings.

mod component;
mod load;

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use artifact::{Capability, Digest};
use sandbox::{PluginLimits, PluginSpec};
use serde::Deserialize;

use crate::builtin::Builtin;
pub(crate) use load::{Fingerprint, PluginFile};

/// The file as written; without one, everything is as if it were empty.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entries {
    router: Option<Entry>,
    chat_template: Option<Entry>,
    /// In the order in which they run; absent: the built-in request-shaper.
    shaper: Option<Vec<Entry>>,
}

/// One plugin.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    /// Its name in logs, errors and metrics; that of a built-in plugin makes a source needless.
    name: String,
    /// The component, relative to the file's folder.
    path: Option<PathBuf>,
    /// The component in a registry, `REGISTRY/REPOSITORY:TAG`; what the tag stood for when it was first read is in `plugins.lock`.
    oci: Option<String>,
    /// What the component must be; alone, it names one that was pulled to this machine.
    digest: Option<Digest>,
    /// What it may import, besides nothing.
    #[serde(default)]
    grants: BTreeSet<Capability>,
    /// What it may use, where that differs from its plugin.toml.
    #[serde(default)]
    limits: EntryLimits,
    /// Its settings.
    #[serde(default)]
    config: Settings,
}

/// A plugin's limits as an operator writes them.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct EntryLimits {
    memory_mib: Option<u32>,
    cpu_ms: Option<u64>,
    timeout_ms: Option<u64>,
}

/// A plugin's settings: any JSON object, which its manifest's schema and the plugin itself check.
pub(crate) type Settings = serde_json::Map<String, serde_json::Value>;

impl Entry {
    /// A built-in plugin with what it asks for.
    fn builtin(builtin: &Builtin) -> Self {
        Self {
            name: builtin.name.into(),
            path: None,
            oci: None,
            digest: None,
            grants: builtin.grants.iter().copied().collect(),
            limits: EntryLimits::default(),
            config: Settings::new(),
        }
    }

    fn spec(&self) -> PluginSpec {
        let EntryLimits {
            memory_mib,
            cpu_ms,
            timeout_ms,
        } = self.limits;
        PluginSpec {
            name: self.name.as_str().into(),
            grants: self.grants.clone(),
            hosts: Vec::new(),
            config: self.config.clone(),
            limits: PluginLimits {
                memory_bytes: memory_mib.map(|mib| (mib as usize) << 20),
                cpu_budget: cpu_ms.map(Duration::from_millis),
                wall_deadline: timeout_ms.map(Duration::from_millis),
            },
        }
    }
}
