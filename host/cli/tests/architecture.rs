//! Who may import whom (host/docs/ARCHITECTURE.md): checked on what cargo sees, tests included.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::MetadataCommand;

/// A crate of this workspace and those of ours that it may import. What is not listed is forbidden.
const ALLOWED: [(&str, &[&str]); 10] = [
    (
        "host",
        &[
            "server",
            "sandbox",
            "model",
            "engine",
            "kernels",
            "text",
            "benchmark",
            "artifact",
            "deploy",
        ],
    ),
    (
        "server",
        &["artifact", "deploy", "sandbox", "engine", "text"],
    ),
    ("deploy", &["artifact"]),
    ("artifact", &[]),
    ("model", &["engine", "kernels"]),
    ("sandbox", &["artifact"]),
    ("engine", &[]),
    ("kernels", &[]),
    ("text", &[]),
    ("benchmark", &[]),
];

#[test]
fn crates_import_only_whom_the_architecture_lets_them() {
    let metadata = MetadataCommand::new()
        .no_deps()
        .exec()
        .expect("cargo is there: it runs this test");
    let allowed = BTreeMap::from(ALLOWED);
    let ours: BTreeSet<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    assert_eq!(
        ours,
        allowed.keys().copied().collect(),
        "a crate was added or removed: say whom it may import"
    );
    for package in &metadata.packages {
        let imports = package
            .dependencies
            .iter()
            .map(|dependency| dependency.name.as_str());
        for import in imports.filter(|import| ours.contains(import)) {
            assert!(
                allowed[package.name.as_str()].contains(&import),
                "{} must not import {import}",
                package.name
            );
        }
    }
}

#[test]
fn plugins_import_the_sdk_and_never_the_host() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/Cargo.toml");
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .exec()
        .expect("plugins/ is a workspace");
    assert!(!metadata.packages.is_empty());
    for package in &metadata.packages {
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| dependency.path.is_some())
        {
            assert_eq!(
                dependency.name, "plugin-sdk",
                "{} must import no other crate of ours",
                package.name
            );
        }
    }
}
