//! What authors get wrong, and what they are told.

use std::{fs, path::Path};

use crate::host::{Project, host, text};

/// A core module with nothing in it.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

fn refused(folder: &Path, arguments: &[&str], code: i32, expected: &str) {
    let output = host(folder, arguments);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{said}");
    assert!(said.contains(expected), "{arguments:?}\n{said}");
}

#[test]
fn a_project_that_cannot_be_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("taken")).unwrap();
    fs::write(folder.path().join("taken/file"), "mine").unwrap();
    let new = |name, rest: &[&'static str]| [&["plugin", "new", name], rest].concat();
    let refused = |arguments: Vec<&str>, code, expected| {
        refused(folder.path(), &arguments, code, expected);
    };
    refused(
        new("a", &["--role", "filter"]),
        2,
        "router, shaper, chat-template, function",
    );
    refused(new("A_b", &["--role", "shaper"]), 2, "lower-case letters");
    refused(new("taken", &["--role", "shaper"]), 1, "no empty folder");
    refused(new("serde", &["--role", "shaper"]), 1, "give another name");
    refused(
        new("a", &["--role", "router", "--lang", "js"]),
        1,
        "--lang rust",
    );
    refused(
        new("a", &["--role", "function", "--lang", "python"]),
        1,
        "--lang js",
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("taken/file")).unwrap(),
        "mine"
    );
    assert!(!folder.path().join("a").exists());
}

#[test]
fn what_is_no_component_of_this_host_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("core.wasm"), CORE_MODULE).unwrap();
    let shipped = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../plugins/dist/request-shaper.wasm"
    );
    let other = replaced(&fs::read(shipped).unwrap(), b"@0.1.0", b"@0.9.0");
    fs::write(folder.path().join("other.wasm"), other).unwrap();
    for command in ["inspect", "test"] {
        let refused = |file, expected| {
            refused(folder.path(), &["plugin", command, file], 1, expected);
        };
        refused("core.wasm", "host plugin build");
        refused("other.wasm", "0.9");
        refused("missing.wasm", "cannot read");
    }
    let no_project = ["plugin", "build"];
    refused(folder.path(), &no_project, 1, "plugin.toml");
}

#[test]
fn a_manifest_that_lacks_a_capability_is_refused_when_it_is_built() {
    let project = Project::new("shaper", "lacking");
    let manifest = project.path("plugin.toml");
    let whole = fs::read_to_string(&manifest).unwrap();
    let lacking = whole.replace(r#"["config", "log"]"#, r#"["config"]"#);
    assert_ne!(lacking, whole);
    fs::write(&manifest, lacking).unwrap();
    let said = project.fails(&["plugin", "build"]);
    assert!(said.contains("`lm:plugin/log@0.1.0` needs `log`"), "{said}");
    assert!(!project.path("lacking.wasm").exists());
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = bytes.to_vec();
    for at in 0..=bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            replaced[at..at + from.len()].copy_from_slice(to);
        }
    }
    replaced
}
