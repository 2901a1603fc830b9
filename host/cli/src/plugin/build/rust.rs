//! Projects in Rust: cargo makes a core module of them, which is wrapped in this process.

mod std_library;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::process;

/// What plugins are compiled for: nothing of a system is in it.
const TARGET: &str = "wasm32-unknown-unknown";

/// How cargo is got.
const INSTALL: &str = "install Rust, as https://rustup.rs says";

/// The package in a folder as a component.
pub(super) fn build(folder: &Path) -> Result<Vec<u8>> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "--lib", "--target", TARGET])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(folder);
    if let Some(sysroot) = std_library::find(folder)? {
        let mut flags = std::env::var_os("RUSTFLAGS").unwrap_or_default();
        flags.push(" --sysroot=");
        flags.push(sysroot);
        cargo.env("RUSTFLAGS", flags);
    }
    let messages = process::output(&mut cargo, INSTALL)?;
    let module = cdylib(&messages, &folder.join("Cargo.toml"))?;
    let module = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    Ok(artifact::componentize(&module)?)
}

/// What cargo says that it made, as far as it is of interest.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

/// The WebAssembly file that cargo made of the package with this manifest.
fn cdylib(messages: &str, manifest: &Path) -> Result<PathBuf> {
    let made = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .filter(|message| message.manifest_path.as_deref() == Some(manifest))
        .find(|message| {
            let types = message.target.as_ref().map(|target| &target.crate_types);
            types.is_some_and(|types| types.iter().any(|kind| kind == "cdylib"))
        });
    let is_wasm = |file: &PathBuf| file.extension().is_some_and(|kind| kind == "wasm");
    let file = made.and_then(|made| made.filenames.into_iter().find(is_wasm));
    match file {
        Some(file) => Ok(file),
        None => bail!(
            "{} makes no WebAssembly library: give it [lib] with crate-type = [\"cdylib\"]",
            manifest.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_that_of_the_package_itself() {
        let messages = r#"
            {"reason":"compiler-artifact","manifest_path":"/sdk/Cargo.toml","target":{"crate_types":["lib"]},"filenames":["/t/libsdk.rlib"]}
            {"reason":"compiler-artifact","manifest_path":"/other/Cargo.toml","target":{"crate_types":["cdylib"]},"filenames":["/t/other.wasm"]}
            {"reason":"compiler-artifact","manifest_path":"/a/Cargo.toml","target":{"crate_types":["cdylib","rlib"]},"filenames":["/t/liba.rlib","/t/a.wasm"]}
            {"reason":"build-finished","success":true}"#;
        let found = cdylib(messages, Path::new("/a/Cargo.toml")).unwrap();
        assert_eq!(found, Path::new("/t/a.wasm"));
        let error = cdylib(messages, Path::new("/sdk/Cargo.toml")).unwrap_err();
        assert!(error.to_string().contains("crate-type"), "{error}");
    }
}
