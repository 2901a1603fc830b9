//! A loaded plugin: what the operator said of it, and what the host found in it.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::counters::Counters;
use crate::error::{Fault, Phase, PluginError};
use crate::limits::Limits;
use crate::router::Router;
use crate::sandbox::Sandbox;
use crate::shaper::Shaper;
use crate::template::Template;

/// What an operator says of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginSpec {
    /// Its name in logs, errors and metrics.
    pub name: Arc<str>,
    /// What it may import.
    pub grants: Grants,
    /// Its settings, which it reads if `config` is granted.
    pub config: Map<String, Value>,
}

impl PluginSpec {
    /// A plugin without grants and settings.
    pub fn named(name: &str) -> PluginSpec {
        PluginSpec {
            name: name.into(),
            grants: Grants::default(),
            config: Map::new(),
        }
    }
}

/// The interfaces of the host that a plugin may import; by default none. What is not granted is not there: a plugin that
/// imports it is refused when it is loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grants {
    /// Writing to the operator's log.
    pub log: bool,
    /// Reading its own settings.
    pub config: bool,
}

/// What a plugin is for, known by what it exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Speaks a client's protocol.
    Router,
    /// Changes or refuses requests.
    Shaper,
    /// Writes prompts and reads answers.
    Template,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Router => "router",
            Role::Shaper => "shaper",
            Role::Template => "chat template",
        })
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
    /// SHA-256 of its bytes, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Where its machine code came from.
    pub origin: Origin,
    /// What it may import.
    pub grants: Grants,
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
}

impl Plugin {
    /// What is known of it.
    pub fn info(&self) -> &PluginInfo {
        match self {
            Plugin::Router(router) => router.info(),
            Plugin::Shaper(shaper) => shaper.info(),
            Plugin::Template(template) => template.info(),
        }
    }
}

/// What all instances of a loaded plugin share.
pub(crate) struct Loaded {
    pub(crate) info: PluginInfo,
    pub(crate) config_json: String,
    pub(crate) counters: Arc<Counters>,
    pub(crate) sandbox: Sandbox,
}

impl Loaded {
    pub(crate) fn limits(&self) -> &Limits {
        self.sandbox.limits()
    }

    /// Counts a failure and makes the error that names it.
    pub(crate) fn failure(&self, phase: Phase, fault: Fault) -> PluginError {
        self.counters.failed(&fault);
        PluginError {
            plugin: self.info.name.clone(),
            phase,
            fault,
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
