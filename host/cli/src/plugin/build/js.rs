//! Projects in JavaScript: their own npm script compiles them.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::process;
use crate::plugin::wit;

/// The component that `npm run build` writes: NAME.wasm, NAME being that of package.json.
pub(super) fn build(folder: &Path) -> Result<Vec<u8>> {
    ensure!(
        folder.join("node_modules/.bin/componentize-qjs").exists(),
        "the compiler is not installed in {}: run npm install (Node.js 20 or newer)",
        folder.display()
    );
    wit::write(&folder.join("wit/deps"))?;
    let mut npm = Command::new("npm");
    npm.args(["run", "--silent", "build"]).current_dir(folder);
    process::run(&mut npm, "install Node.js 20 or newer")?;
    let package = folder.join("package.json");
    let text = fs::read_to_string(&package)
        .with_context(|| format!("cannot read {}", package.display()))?;
    let package: Value = serde_json::from_str(&text).context("package.json is no JSON")?;
    let name = package["name"]
        .as_str()
        .context("package.json has no `name`")?;
    let built = folder.join(format!("{name}.wasm"));
    fs::read(&built).with_context(|| {
        format!(
            "`npm run build` did not write {}: have it do so (--output {name}.wasm)",
            built.display()
        )
    })
}
