//! Reads a component's imports and exports before it is linked, so that a refusal can say what to change.

use std::collections::BTreeSet;

use artifact::{Capability, Manifest, Role};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The version of the WIT package that this host speaks; patches of it are compatible.
const PACKAGE: &str = "lm:plugin";
const VERSION: &str = "0.1";

/// What a component is, known by what it exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum World {
    Router,
    Shaper,
    ChatTemplate,
    Function(WasiHttp),
}

/// The version of `wasi:http` that a function speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WasiHttp {
    /// `incoming-handler` of 0.2.
    P2,
    /// `handler` of 0.3.
    P3,
}

impl World {
    pub(super) fn role(self) -> Role {
        match self {
            World::Router => Role::Router,
            World::Shaper => Role::Shaper,
            World::ChatTemplate => Role::ChatTemplate,
            World::Function(_) => Role::Function,
        }
    }
}

/// What the name of an import or export refers to.
#[derive(Debug, PartialEq)]
enum Name<'a> {
    /// This interface of the package, in a version that the host speaks.
    Ours(&'a str),
    /// An interface of the package in another version.
    OtherVersion,
    /// Something else.
    Foreign,
}

fn parse(name: &str) -> Name<'_> {
    let Some(rest) = name
        .strip_prefix(PACKAGE)
        .and_then(|rest| rest.strip_prefix('/'))
    else {
        return Name::Foreign;
    };
    match rest.split_once('@') {
        Some((interface, version))
            if version
                .rsplit_once('.')
                .is_some_and(|(minor, _)| minor == VERSION) =>
        {
            Name::Ours(interface)
        }
        _ => Name::OtherVersion,
    }
}

/// What the component is for.
pub(super) fn world(component: &Component, engine: &Engine) -> Result<World, String> {
    let ty = component.component_type();
    let mut worlds = Vec::new();
    for (name, _) in ty.exports(engine) {
        match parse(name) {
            Name::Ours("routing") => worlds.push(World::Router),
            Name::Ours("shaping") => worlds.push(World::Shaper),
            Name::Ours("templating") => worlds.push(World::ChatTemplate),
            Name::OtherVersion => return Err(format!("it exports `{name}`, and {}", rebuild())),
            Name::Foreign if name.starts_with("wasi:http/incoming-handler@0.2.") => {
                worlds.push(World::Function(WasiHttp::P2));
            }
            Name::Foreign if name.starts_with("wasi:http/handler@0.3.") => {
                worlds.push(World::Function(WasiHttp::P3));
            }
            // Some toolchains export things of their own beside the world's.
            Name::Ours(_) | Name::Foreign => {}
        }
    }
    match worlds[..] {
        [world] => Ok(world),
        [] => Err(format!(
            "it exports neither `routing` nor `shaping` nor `templating` of {PACKAGE} {VERSION}, nor a handler of wasi:http \
             0.2 or 0.3: build it for one of the worlds `router`, `shaper`, `chat-template` and `function`"
        )),
        _ => Err(format!(
            "it is a {} at once: build one component per world",
            join(worlds.iter().map(|world| world.role()), " and a ")
        )),
    }
}

/// Refuses imports that no interface of the host provides, that were not granted, or that the component's manifest does not
/// ask for; all of them by name.
pub(super) fn check_imports(
    component: &Component,
    engine: &Engine,
    role: Role,
    grants: &BTreeSet<Capability>,
    manifest: Option<&Manifest>,
) -> Result<(), String> {
    let asked = manifest.map(|manifest| &manifest.capabilities);
    let ty = component.component_type();
    let refusals: Vec<String> = ty
        .imports(engine)
        .filter_map(|(name, _)| {
            let why = refusal(name, role, grants, asked)?;
            Some(format!("it imports `{name}`, {why}"))
        })
        .collect();
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(join(refusals, "; "))
    }
}

/// What has to be granted for an import.
enum Need {
    Nothing,
    Grant(Capability),
    Impossible(String),
}

fn refusal(
    name: &str,
    role: Role,
    grants: &BTreeSet<Capability>,
    asked: Option<&BTreeSet<Capability>>,
) -> Option<String> {
    match need(name, role) {
        Need::Nothing => None,
        Need::Impossible(why) => Some(why),
        Need::Grant(capability) if !grants.contains(&capability) => Some(format!(
            "but the capability `{capability}` was not granted: grant it in the plugin's settings, or build the plugin without it"
        )),
        Need::Grant(capability) if asked.is_some_and(|asked| !asked.contains(&capability)) => {
            Some(format!(
                "but its plugin.toml does not ask for the capability `{capability}`: its author has to add it there"
            ))
        }
        Need::Grant(_) => None,
    }
}

fn need(name: &str, role: Role) -> Need {
    let no_interface = || Need::Impossible("which no host interface provides".into());
    match parse(name) {
        Name::Ours("types") => Need::Nothing,
        Name::Ours("log") => Need::Grant(Capability::Log),
        Name::Ours("config") => Need::Grant(Capability::Config),
        Name::Ours("clock") => Need::Grant(Capability::Clock),
        Name::Ours("random") => Need::Grant(Capability::Random),
        Name::Ours("key-value") => Need::Grant(Capability::KeyValue),
        Name::Ours("inference") if role == Role::Function => Need::Grant(Capability::Inference),
        Name::Ours("inference") => Need::Impossible(
            "which only functions can be given, not plugins of this role".into(),
        ),
        Name::OtherVersion => Need::Impossible(format!("and {}", rebuild())),
        Name::Foreign if !name.starts_with("wasi:") => no_interface(),
        Name::Foreign if role == Role::Function => wasi_need(name),
        Name::Foreign => Need::Impossible(
            "which no host interface provides: these plugins run without WASI, so build for wasm32-unknown-unknown".into(),
        ),
        Name::Ours(_) => no_interface(),
    }
}

/// WASI as functions see it. Where nothing has to be granted there is nothing to be had either: no environment, no
/// arguments, an empty standard input and no folder; toolchains import those whether they are used or not.
fn wasi_need(name: &str) -> Need {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    if !(version.starts_with("0.2.") || version.starts_with("0.3.")) {
        return Need::Impossible("and this host speaks WASI 0.2 and 0.3".into());
    }
    let interface = interface.strip_prefix("wasi:").unwrap_or(interface);
    match interface.split_once('/').unwrap_or((interface, "")) {
        ("io" | "filesystem", _) | ("http", "types") => Need::Nothing,
        ("cli", "stdout" | "stderr") => Need::Grant(Capability::Log),
        ("cli", _) => Need::Nothing,
        // Only a name for durations, which every handler of 0.3 imports.
        ("clocks", "types") => Need::Nothing,
        ("clocks", _) => Need::Grant(Capability::Clock),
        ("random", _) => Need::Grant(Capability::Random),
        ("http", "outgoing-handler" | "client") => Need::Grant(Capability::OutgoingHttp),
        ("sockets", _) => Need::Impossible(
            "which no host interface provides: ask for `outgoing-http` in place of sockets".into(),
        ),
        _ => Need::Impossible("which no host interface provides".into()),
    }
}

fn rebuild() -> String {
    format!(
        "this host speaks {PACKAGE} {VERSION}: rebuild the plugin with that version of the WIT package"
    )
}

fn join(items: impl IntoIterator<Item = impl ToString>, between: &str) -> String {
    items
        .into_iter()
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_version_is_ours_and_a_minor_version_is_not() {
        assert_eq!(parse("lm:plugin/log@0.1.0"), Name::Ours("log"));
        assert_eq!(parse("lm:plugin/log@0.1.7"), Name::Ours("log"));
        assert_eq!(parse("lm:plugin/log@0.2.0"), Name::OtherVersion);
        assert_eq!(parse("lm:plugin/log@0.10.0"), Name::OtherVersion);
        assert_eq!(parse("lm:plugin/log"), Name::OtherVersion);
        assert_eq!(parse("lm:plugins/log@0.1.0"), Name::Foreign);
    }
}
