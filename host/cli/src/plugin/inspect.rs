//! `host plugin inspect`: what a component is and asks for, without running it.

use anyhow::{Context, Result};
use artifact::{Inspection, Manifest};
use serde_json::{Value, json};

use crate::{args::plugin::InspectArgs, components};

/// Fetches the component and prints what it is.
pub(super) async fn run(args: &InspectArgs) -> Result<()> {
    let wasm = components::fetch(&args.component).await?;
    let source = || args.component.to_string();
    if args.wit {
        print!("{}", artifact::wit_text(&wasm).with_context(source)?);
        return Ok(());
    }
    let inspection = artifact::inspect(&wasm).with_context(source)?;
    if args.json {
        println!("{}", described(&inspection));
    } else {
        print(&inspection);
    }
    // After what it is, as that helps to understand what is wrong.
    inspection.check_manifest().with_context(source)
}

/// A component for programs to read.
pub(super) fn described(inspection: &Inspection) -> Value {
    json!({
        "role": inspection.role,
        "wit": inspection.wit_versions.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "digest": inspection.digest,
        "size": inspection.size,
        "imports": inspection.imports,
        "exports": inspection.exports,
        "capabilities": inspection.asked,
        "manifest": inspection.manifest.as_ref().map(manifest),
    })
}

fn manifest(manifest: &Manifest) -> Value {
    let limits = &manifest.limits;
    json!({
        "id": manifest.id,
        "version": manifest.version.to_string(),
        "role": manifest.role,
        "wit": manifest.wit.to_string(),
        "description": manifest.description,
        "license": manifest.license,
        "capabilities": manifest.capabilities,
        "outgoing_hosts": hosts(manifest),
        "limits": {
            "memory_mib": limits.memory_mib,
            "cpu_ms": limits.cpu.map(|time| time.as_millis() as u64),
            "timeout_ms": limits.timeout.map(|time| time.as_millis() as u64),
        },
        "config_schema": manifest.config_schema.as_ref().map(|schema| schema.as_json()),
    })
}

fn hosts(manifest: &Manifest) -> Vec<String> {
    let hosts = manifest.outgoing_hosts.iter();
    hosts.map(ToString::to_string).collect()
}

fn print(inspection: &Inspection) {
    let line = |name: &str, value: &str| println!("{name:<13} {value}");
    if let Some(manifest) = &inspection.manifest {
        line("plugin", &format!("{} {}", manifest.id, manifest.version));
        if let Some(description) = &manifest.description {
            line("", description);
        }
    }
    line("role", inspection.role.as_str());
    let versions: Vec<String> = inspection
        .wit_versions
        .iter()
        .map(ToString::to_string)
        .collect();
    line("lm:plugin", or_none(&versions.join(", ")));
    line("digest", &inspection.digest.to_string());
    line("size", &format!("{} bytes", inspection.size));
    line("capabilities", or_none(&names(inspection)));
    match &inspection.manifest {
        Some(manifest) => print_manifest(manifest),
        None => line("plugin.toml", "none"),
    }
    for (name, items) in [
        ("imports", &inspection.imports),
        ("exports", &inspection.exports),
    ] {
        for (number, item) in items.iter().enumerate() {
            line(if number == 0 { name } else { "" }, item);
        }
    }
}

fn print_manifest(manifest: &Manifest) {
    let line = |name: &str, value: &str| println!("{name:<13} {value}");
    if !manifest.outgoing_hosts.is_empty() {
        line("hosts", &hosts(manifest).join(", "));
    }
    let limits = &manifest.limits;
    let given = [
        limits.memory_mib.map(|mib| format!("{mib} MiB of memory")),
        limits.cpu.map(|time| format!("{time:?} of computing")),
        limits.timeout.map(|time| format!("{time:?} by the clock")),
    ];
    let given: Vec<String> = given.into_iter().flatten().collect();
    match given.is_empty() {
        true => line("limits", "the host's"),
        false => line("limits", &given.join(", ")),
    }
    if let Some(keys) = config_keys(manifest) {
        line("config", or_none(&keys));
    }
}

/// The settings that the schema names.
fn config_keys(manifest: &Manifest) -> Option<String> {
    let schema = manifest.config_schema.as_ref()?.as_json();
    let keys = schema["properties"].as_object()?.keys();
    Some(keys.cloned().collect::<Vec<_>>().join(", "))
}

/// What a component asks for, separated by commas.
pub(super) fn names(inspection: &Inspection) -> String {
    let names = inspection.asked.iter().map(|asked| asked.as_str());
    names.collect::<Vec<_>>().join(", ")
}

/// A word for nothing.
pub(super) fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}
