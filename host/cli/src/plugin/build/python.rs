//! Projects in Python, compiled by componentize-py.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::process;
use crate::plugin::wit;

const INSTALL: &str = "run python3 -m venv .venv && .venv/bin/pip install -r requirements.txt";

/// Compiles `app.py`, in `src` or beside plugin.toml, for the world in `wit/world.wit`.
pub(super) fn build(folder: &Path) -> Result<Vec<u8>> {
    wit::write(&folder.join("wit/deps"))?;
    let world = world(folder)?;
    let sources = if folder.join("src").is_dir() {
        "src"
    } else {
        "."
    };
    let built = tempfile::Builder::new()
        .suffix(".wasm")
        .tempfile()
        .context("cannot make a temporary file")?;
    let mut compiler = Command::new(compiler(folder));
    compiler
        .args([
            "-q",
            "-d",
            "wit",
            "-w",
            &world,
            "componentize",
            "--stub-wasi",
        ])
        .args(["-p", sources, "app", "-o"])
        .arg(built.path())
        .current_dir(folder);
    process::run(&mut compiler, INSTALL)?;
    fs::read(built.path()).context("componentize-py wrote no component")
}

/// The project's own compiler, or else the one in the path.
fn compiler(folder: &Path) -> PathBuf {
    let own = folder.join(".venv/bin/componentize-py");
    if own.is_file() {
        own
    } else {
        "componentize-py".into()
    }
}

/// The name of the only world in `wit/world.wit`.
fn world(folder: &Path) -> Result<String> {
    let path = folder.join("wit/world.wit");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let named = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("world "));
    let name = named.map(|rest| rest.trim_end_matches('{').trim().to_owned());
    name.with_context(|| format!("{} has no line `world NAME {{`", path.display()))
}
