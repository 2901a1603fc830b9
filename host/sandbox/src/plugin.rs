//! A loaded plugin: what the operator said of it, and what the host found in it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use artifact::{Capability, ConfigError, Digest, HostPattern, Manifest, Role};
use serde_json::{Map, Value};

use crate::counters::Counters;
use crate::error::{Fault, Phase, PluginError};
use crate::function::Function;
use crate::key_value::Pairs;
use crate::limits::Limits;
use crate::logs::LogBook;
use crate::router::Router;
use crate::sandbox::Sandbox;
use crate::shaper::Shaper;
use crate::template::Template;

/// What an operator says of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginSpec {
    /// Its name in logs, errors and metrics, and of its key-value store.
    pub name: Arc<str>,
    /// What it may import; by default nothing. What is not granted is not there: a plugin that imports it is refused when it
    /// is loaded.
    pub grants: BTreeSet<Capability>,
    /// Where its outgoing requests may go, if [`Capability::OutgoingHttp`] is granted.
    pub hosts: Vec<HostPattern>,
    /// Its settings, which it reads if `config` is granted. Checked by the schema in its manifest.
    pub config: Map<String, Value>,
    /// What it may use, where that differs from the sandbox's limits.
    pub limits: PluginLimits,
}

/// One plugin's own limits; what is `None` is the sandbox's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PluginLimits {
    /// See [`Limits::memory_bytes`]; at most that of the sandbox.
    pub memory_bytes: Option<usize>,
    /// See [`Limits::cpu_budget`].
    pub cpu_budget: Option<Duration>,
    /// See [`Limits::wall_deadline`].
    pub wall_deadline: Option<Duration>,
}

impl PluginSpec {
    /// A plugin without grants and settings.
    pub fn named(name: &str) -> PluginSpec {
        PluginSpec {
            name: name.into(),
            grants: BTreeSet::new(),
            hosts: Vec::new(),
            config: Map::new(),
            limits: PluginLimits::default(),
        }
    }

    /// The same with these grants.
    pub fn granted(self, grants: impl IntoIterator<Item = Capability>) -> PluginSpec {
        PluginSpec {
            grants: grants.into_iter().collect(),
            ..self
        }
    }
}

/// Where a plugin's machine code came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was compiled now: there was nothing in the cache, or no cache.
    Compiled,
    /// It was read from the cache.
    Cached,
    /// It was compiled now because the file in the cache could not be trusted.
    Recompiled {
        /// What was wrong with the file.
        reason: String,
    },
}

/// What is known of a loaded plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginInfo {
    /// The operator's name of it.
    pub name: Arc<str>,
    /// What it is for.
    pub role: Role,
    /// Its author's version, if it carries a manifest.
    pub version: Option<String>,
    /// Of its bytes.
    pub digest: Digest,
    /// Where its machine code came from.
    pub origin: Origin,
    /// What it may import.
    pub grants: BTreeSet<Capability>,
}

/// A loaded plugin of any role.
#[derive(Clone)]
pub enum Plugin {
    /// It speaks a client's protocol.
    Router(Router),
    /// It changes or refuses requests.
    Shaper(Shaper),
    /// It writes prompts and reads answers.
    Template(Template),
    /// It answers HTTP requests by itself.
    Function(Function),
}

impl Plugin {
    /// What is known of it.
    pub fn info(&self) -> &PluginInfo {
        match self {
            Plugin::Router(router) => router.info(),
            Plugin::Shaper(shaper) => shaper.info(),
            Plugin::Template(template) => template.info(),
            Plugin::Function(function) => function.info(),
        }
    }
}

/// What all instances of a loaded plugin share.
pub(crate) struct Loaded {
    pub(crate) info: PluginInfo,
    /// What its author says of it, if it carries that.
    pub(crate) manifest: Option<Arc<Manifest>>,
    pub(crate) config: Map<String, Value>,
    pub(crate) config_json: String,
    pub(crate) limits: Limits,
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) logs: Arc<LogBook>,
    /// What it keeps, if it was granted that.
    pub(crate) pairs: Option<Arc<Pairs>>,
    pub(crate) sandbox: Sandbox,
}

impl Loaded {
    /// The same plugin with some settings replaced. Fails if its schema does not take what comes of it.
    pub(crate) fn with_settings(
        &self,
        settings: &Map<String, Value>,
    ) -> Result<Loaded, ConfigError> {
        let mut config = self.config.clone();
        config.extend(settings.clone());
        if let Some(manifest) = &self.manifest {
            manifest.check_config(&config)?;
        }
        Ok(Loaded {
            info: self.info.clone(),
            manifest: self.manifest.clone(),
            config_json: Value::Object(config.clone()).to_string(),
            config,
            limits: self.limits.clone(),
            hosts: self.hosts.clone(),
            counters: self.counters.clone(),
            logs: self.logs.clone(),
            pairs: self.pairs.clone(),
            sandbox: self.sandbox.clone(),
        })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn engine(&self) -> &wasmtime::Engine {
        self.sandbox.engine(self.info.role)
    }

    /// Counts a failure and makes the error that names it.
    pub(crate) fn failure(&self, phase: Phase, fault: Fault) -> PluginError {
        self.counters.failed(&fault);
        PluginError {
            plugin: self.info.name.clone(),
            phase,
            fault,
            backtrace: None,
        }
    }

    /// A failure to keep the contract.
    pub(crate) fn breach(&self, phase: Phase, what: String) -> PluginError {
        self.failure(phase, Fault::Contract(what))
    }

    /// The exports of the role are there, but not of the types that the WIT package gives them.
    pub(crate) fn misfit(&self, error: &wasmtime::Error) -> PluginError {
        let why = format!(
            "its exports do not fit the role: {error:#}; rebuild it with the WIT package of this host"
        );
        self.failure(Phase::Load, Fault::Load(why))
    }
}
