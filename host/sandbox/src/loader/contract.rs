//! Reads a component's imports and exports before it is linked, so that a refusal can say what to change.

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::plugin::{Grants, Role};

/// The version of the WIT package that this host speaks; patches of it are compatible.
const PACKAGE: &str = "lm:plugin";
const VERSION: &str = "0.1";

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

/// What the component is for, known by what it exports.
pub(super) fn role(component: &Component, engine: &Engine) -> Result<Role, String> {
    let ty = component.component_type();
    let mut roles = Vec::new();
    for (name, _) in ty.exports(engine) {
        match parse(name) {
            Name::Ours("routing") => roles.push(Role::Router),
            Name::Ours("shaping") => roles.push(Role::Shaper),
            Name::Ours("templating") => roles.push(Role::Template),
            Name::OtherVersion => return Err(format!("it exports `{name}`, and {}", rebuild())),
            // Some toolchains export things of their own beside the world's.
            Name::Ours(_) | Name::Foreign => {}
        }
    }
    match roles[..] {
        [role] => Ok(role),
        [] => Err(format!(
            "it exports neither `routing` nor `shaping` nor `templating` of {PACKAGE} {VERSION}: build it for one of \
             the worlds `router`, `shaper` and `chat-template`"
        )),
        _ => Err(format!(
            "it is a {} at once: build one component per world",
            join(&roles, " and a ")
        )),
    }
}

/// Refuses imports that no interface of the host provides or that were not granted, all of them by name.
pub(super) fn check_imports(
    component: &Component,
    engine: &Engine,
    grants: Grants,
) -> Result<(), String> {
    let ty = component.component_type();
    let refusals: Vec<String> = ty
        .imports(engine)
        .filter_map(|(name, _)| {
            refusal(name, grants).map(|why| format!("it imports `{name}`, {why}"))
        })
        .collect();
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(join(&refusals, "; "))
    }
}

fn refusal(name: &str, grants: Grants) -> Option<String> {
    let ungranted = |capability: &str| {
        Some(format!(
            "but the capability `{capability}` was not granted: grant it in the plugin's settings, or build the plugin without it"
        ))
    };
    match parse(name) {
        Name::Ours("types") => None,
        Name::Ours("log") if grants.log => None,
        Name::Ours("config") if grants.config => None,
        Name::Ours(capability @ ("log" | "config")) => ungranted(capability),
        Name::Ours("inference") => Some("which only functions can be given, not plugins of this role".into()),
        Name::OtherVersion => Some(format!("and {}", rebuild())),
        Name::Foreign if name.starts_with("wasi:") => Some(
            "which no host interface provides: these plugins run without WASI, so build for wasm32-unknown-unknown".into(),
        ),
        Name::Ours(_) | Name::Foreign => Some("which no host interface provides".into()),
    }
}

fn rebuild() -> String {
    format!(
        "this host speaks {PACKAGE} {VERSION}: rebuild the plugin with that version of the WIT package"
    )
}

fn join(items: &[impl ToString], between: &str) -> String {
    items
        .iter()
        .map(ToString::to_string)
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
