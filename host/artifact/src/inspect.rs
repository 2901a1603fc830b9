//! What a component is, found out without compiling it.

mod interface;
mod wit;

use std::collections::{BTreeMap, BTreeSet};

use semver::Version;
use wasm_encoder::ComponentSectionId;
use wasmparser::{
    ComponentExportSectionReader, ComponentImportSectionReader, Validator, WasmFeatures,
};

use crate::{
    Capability, Digest, Manifest, ManifestError, NotAComponent, Role, WitVersion,
    outermost::{damaged, sections},
    wit_version::PACKAGE,
};
use interface::Interface;
pub use wit::wit_text;

/// What a component is, whatever it says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// What it is for, by its exports.
    pub role: Role,
    /// The versions of the WIT package in its imports and exports, all of which this host speaks; none if it has neither.
    pub wit_versions: BTreeSet<Version>,
    /// The names of its imports, in order.
    pub imports: Vec<String>,
    /// The names of its exports, in order.
    pub exports: Vec<String>,
    /// What it has to be granted for its imports.
    pub asked: BTreeSet<Capability>,
    /// Of its bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// What it says of itself, if it does.
    pub manifest: Option<Manifest>,
}

/// A component that cannot be one of the host's.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InspectError {
    /// It is none, or a damaged one.
    #[error(transparent)]
    NotAComponent(#[from] NotAComponent),
    /// It was built for another version of the WIT package.
    #[error(
        "it was built for {PACKAGE} {built_for}, this host speaks {}: build it with that version of the WIT package (it has \
         `{name}`)",
        WitVersion::HOST
    )]
    OtherWit {
        /// The import or export that is in another version.
        name: String,
        /// That version, as it is written.
        built_for: String,
    },
    /// It exports nothing that the host calls.
    #[error(
        "it exports neither `routing` nor `shaping` nor `templating` of {PACKAGE} {}, nor a handler of wasi:http 0.2 or 0.3: \
         build it for one of the worlds `router`, `shaper`, `chat-template` and `function`",
        WitVersion::HOST
    )]
    NoRole,
    /// It would be several things at once.
    #[error("it exports {}: build one component per role, and a function for one version of wasi:http", quoted(.0))]
    SeveralRoles(Vec<String>),
    /// Its manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Its types are beyond what WIT can say.
    #[error("its interfaces cannot be written as WIT: {0}")]
    NoWit(String),
}

/// A component is not what its manifest says.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Contradiction {
    /// It has another role.
    #[error(
        "plugin.toml says that it is a {manifest}, and by its exports it is a {component}: change `role`"
    )]
    Role {
        /// What the manifest says.
        manifest: Role,
        /// What it is.
        component: Role,
    },
    /// It imports what its manifest does not ask for: each such import, and what it needs.
    #[error("plugin.toml does not ask for all that it imports: {}", not_asked(.0))]
    NotAsked(Vec<(String, Capability)>),
}

/// Finds out what a component is. It is validated as the sandbox's compiler will, and costs a small part of the time.
pub fn inspect(wasm: &[u8]) -> Result<Inspection, InspectError> {
    let (imports, exports) = names(wasm)?;
    Validator::new_with_features(features())
        .validate_all(wasm)
        .map_err(damaged)?;
    let names = || imports.iter().chain(&exports);
    if let Some((name, built_for)) = names().find_map(|name| Some((name, other_wit(name)?))) {
        return Err(InspectError::OtherWit {
            name: name.clone(),
            built_for,
        });
    }
    Ok(Inspection {
        role: role(&exports)?,
        wit_versions: names()
            .filter_map(|name| Interface::parse(name).filter(Interface::is_ours)?.version())
            .collect(),
        asked: imports.iter().filter_map(|name| need(name)).collect(),
        imports,
        exports,
        digest: Digest::of(wasm),
        size: wasm.len() as u64,
        manifest: Manifest::of_component(wasm)?,
    })
}

impl Inspection {
    /// Holds the manifest against the component; without a manifest there is nothing to hold. The versions of WIT need no
    /// look: both are what this host speaks, or there would be no [`Inspection`].
    pub fn check_manifest(&self) -> Result<(), Contradiction> {
        let Some(manifest) = &self.manifest else {
            return Ok(());
        };
        if manifest.role != self.role {
            return Err(Contradiction::Role {
                manifest: manifest.role,
                component: self.role,
            });
        }
        let not_asked: Vec<_> = self
            .imports
            .iter()
            .filter_map(|name| Some((name.clone(), need(name)?)))
            .filter(|(_, need)| !manifest.capabilities.contains(need))
            .collect();
        match not_asked.is_empty() {
            true => Ok(()),
            false => Err(Contradiction::NotAsked(not_asked)),
        }
    }
}

/// What the sandbox's engine takes: what it has by default, less what needs a garbage collector or shared memory, which it is
/// built without.
fn features() -> WasmFeatures {
    let core = WasmFeatures::WASM3
        .difference(WasmFeatures::GC_TYPES)
        .difference(WasmFeatures::EXCEPTIONS)
        .difference(WasmFeatures::THREADS);
    core | WasmFeatures::COMPONENT_MODEL | WasmFeatures::CM_ASYNC
}

/// The names of the component's own imports and exports.
fn names(wasm: &[u8]) -> Result<(Vec<String>, Vec<String>), NotAComponent> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    for section in sections(wasm)? {
        if section.kind == ComponentSectionId::Import as u8 {
            for import in ComponentImportSectionReader::new(section.content).map_err(damaged)? {
                imports.push(import.map_err(damaged)?.name.name.into());
            }
        } else if section.kind == ComponentSectionId::Export as u8 {
            for export in ComponentExportSectionReader::new(section.content).map_err(damaged)? {
                exports.push(export.map_err(damaged)?.name.name.into());
            }
        }
    }
    Ok((imports, exports))
}

/// The version of the WIT package that a name is of, if that is another one than the host's.
fn other_wit(name: &str) -> Option<String> {
    let ours = Interface::parse(name).filter(Interface::is_ours)?;
    match ours.version() {
        Some(version) if WitVersion::from(&version) == WitVersion::HOST => None,
        Some(version) => Some(WitVersion::from(&version).to_string()),
        None => Some("without a version".into()),
    }
}

fn role(exports: &[String]) -> Result<Role, InspectError> {
    // By its export and not by its role: a handler of two versions of wasi:http is two as well.
    let roles: BTreeMap<&str, Role> = exports
        .iter()
        .filter_map(|name| Some((name.as_str(), Interface::parse(name)?.role()?)))
        .collect();
    match roles.values().copied().collect::<Vec<_>>()[..] {
        [role] => Ok(role),
        [] => Err(InspectError::NoRole),
        _ => Err(InspectError::SeveralRoles(
            roles.keys().map(|&name| name.into()).collect(),
        )),
    }
}

fn need(import: &str) -> Option<Capability> {
    Interface::parse(import)?.need()
}

fn quoted(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(" and ")
}

fn not_asked(imports: &[(String, Capability)]) -> String {
    let needs: Vec<_> = imports
        .iter()
        .map(|(name, need)| format!("`{name}` needs `{need}`"))
        .collect();
    format!(
        "{}; add to its `capabilities`, or build without",
        needs.join(", ")
    )
}

#[cfg(test)]
mod tests;
