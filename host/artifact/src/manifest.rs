//! What a component asks for, as its author writes it in `plugin.toml`.

mod config_schema;
mod error;
mod keys;
mod section;

use std::{
    collections::BTreeSet,
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use semver::Version;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::{Capability, HostPattern, PluginId, Role, WitVersion};
pub use config_schema::{ConfigError, ConfigSchema};
pub use error::ManifestError;
pub use section::embed;

/// A component's `plugin.toml`.
///
/// ```
/// let manifest = artifact::Manifest::parse(
///     r#"
///     id = "forecast"
///     version = "0.3.0"
///     role = "function"
///     wit = "0.1"
///     capabilities = ["inference", "outgoing-http"]
///     [outgoing-http]
///     hosts = ["*.weather.example"]
///     "#,
/// )?;
/// assert_eq!(manifest.role, artifact::Role::Function);
/// # Ok::<_, artifact::ManifestError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Its author's name of it.
    pub id: PluginId,
    /// Its author's version of it.
    pub version: Version,
    /// What it is for.
    pub role: Role,
    /// The version of the WIT package that it was built for; one that this host speaks.
    pub wit: WitVersion,
    /// What it does, in a sentence.
    pub description: Option<String>,
    /// The licence that it is under, as its author writes it.
    pub license: Option<String>,
    /// What it asks for. An operator grants less where they want, and it is refused.
    pub capabilities: BTreeSet<Capability>,
    /// The hosts that it asks to send requests to; some if it asks for `outgoing-http`, else none.
    pub outgoing_hosts: Vec<HostPattern>,
    /// What it asks to use at most.
    pub limits: Limits,
    /// What its settings have to be like, if it says so.
    pub config_schema: Option<ConfigSchema>,
}

/// What a component asks to use at most; where it says nothing, the host's limits hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of one instance, in MiB.
    pub memory_mib: Option<u32>,
    /// Time that it may compute: per call, or of a function per request.
    pub cpu: Option<Duration>,
    /// Time by the clock: per call, or of a function per request.
    pub timeout: Option<Duration>,
}

impl Manifest {
    /// Most bytes of a manifest.
    pub const MAX_LEN: usize = 64 << 10;

    /// Reads a `plugin.toml`. Fails where anything in it is unknown, missing, contradictory or not what this host speaks.
    pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
        if text.len() > Manifest::MAX_LEN {
            return Err(ManifestError::TooLong { len: text.len() });
        }
        keys::check(text)?;
        toml::from_str::<File>(text)?.check()
    }

    /// Reads the manifest that a component carries, if it carries one. Looks at the outermost component only.
    pub fn of_component(wasm: &[u8]) -> Result<Option<Manifest>, ManifestError> {
        section::text_of(wasm)?.map(Manifest::parse).transpose()
    }

    /// Checks settings by the manifest's schema; a plugin that does not ask for `config` has none.
    pub fn check_config(&self, config: &Map<String, Value>) -> Result<(), ConfigError> {
        match &self.config_schema {
            Some(schema) => schema.check(config),
            None if self.capabilities.contains(&Capability::Config) || config.is_empty() => Ok(()),
            None => Err(ConfigError::NoneRead(self.id.clone())),
        }
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    id: PluginId,
    #[serde(deserialize_with = "version")]
    version: Version,
    role: Role,
    #[serde(deserialize_with = "spoken")]
    wit: WitVersion,
    description: Option<String>,
    license: Option<String>,
    #[serde(default)]
    capabilities: BTreeSet<Capability>,
    outgoing_http: Option<OutgoingHttp>,
    #[serde(default)]
    limits: FileLimits,
    config: Option<Config>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct OutgoingHttp {
    hosts: Vec<HostPattern>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FileLimits {
    memory_mib: Option<NonZeroU32>,
    cpu_ms: Option<NonZeroU64>,
    timeout_ms: Option<NonZeroU64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Config {
    schema: ConfigSchema,
}

impl File {
    /// What one key alone cannot tell.
    fn check(self) -> Result<Manifest, ManifestError> {
        use Capability::{Config, Inference, OutgoingHttp};
        let asks = |capability| self.capabilities.contains(&capability);
        for capability in [Inference, OutgoingHttp] {
            if asks(capability) && self.role != Role::Function {
                return Err(ManifestError::OnlyForFunctions {
                    capability,
                    role: self.role,
                });
            }
        }
        if self.config.is_some() && !asks(Config) {
            return Err(ManifestError::TableWithoutCapability("config", Config));
        }
        let outgoing_hosts = match self.outgoing_http {
            Some(_) if !asks(OutgoingHttp) => {
                return Err(ManifestError::TableWithoutCapability(
                    "outgoing-http",
                    OutgoingHttp,
                ));
            }
            Some(table) => table.hosts,
            None => Vec::new(),
        };
        if outgoing_hosts.is_empty() && asks(OutgoingHttp) {
            return Err(ManifestError::NoHosts);
        }
        Ok(Manifest {
            id: self.id,
            version: self.version,
            role: self.role,
            wit: self.wit,
            description: self.description,
            license: self.license,
            capabilities: self.capabilities,
            outgoing_hosts,
            limits: self.limits.into(),
            config_schema: self.config.map(|config| config.schema),
        })
    }
}

impl From<FileLimits> for Limits {
    fn from(file: FileLimits) -> Limits {
        let millis = |ms: NonZeroU64| Duration::from_millis(ms.get());
        Limits {
            memory_mib: file.memory_mib.map(NonZeroU32::get),
            cpu: file.cpu_ms.map(millis),
            timeout: file.timeout_ms.map(millis),
        }
    }
}

fn version<'de, D: Deserializer<'de>>(from: D) -> Result<Version, D::Error> {
    let text = String::deserialize(from)?;
    Version::parse(&text).map_err(|e| {
        serde::de::Error::custom(format!(
            "`{text}` is no version ({e}): write three numbers, such as \"0.1.0\""
        ))
    })
}

fn spoken<'de, D: Deserializer<'de>>(from: D) -> Result<WitVersion, D::Error> {
    let version = WitVersion::deserialize(from)?;
    match version == WitVersion::HOST {
        true => Ok(version),
        false => Err(serde::de::Error::custom(format!(
            "built for {version}, this host speaks {}",
            WitVersion::HOST
        ))),
    }
}

#[cfg(test)]
mod tests;
