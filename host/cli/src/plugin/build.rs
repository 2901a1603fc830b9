//! `host plugin build`: from a project in a folder to a component that carries its plugin.toml.

mod js;
mod process;
mod python;
mod rust;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use artifact::{Inspection, Manifest};

use super::inspect::{described, names, or_none};
use crate::args::plugin::{BuildArgs, Language};

/// Builds the project and says what came out.
pub(super) fn run(args: &BuildArgs) -> Result<()> {
    let folder = fs::canonicalize(&args.folder)
        .with_context(|| format!("cannot find {}", args.folder.display()))?;
    let text = manifest_text(&folder)?;
    let manifest =
        Manifest::parse(&text).with_context(|| folder.join("plugin.toml").display().to_string())?;
    let component = match language(&folder)? {
        Language::Rust => rust::build(&folder)?,
        Language::Js => js::build(&folder)?,
        Language::Python => python::build(&folder)?,
    };
    let component = artifact::embed(&text, &component)?;
    let inspection = artifact::inspect(&component).context("the component that was built")?;
    inspection.check_manifest()?;
    warn_of_idle_capabilities(&manifest, &inspection);
    let out = match &args.out {
        Some(out) => out.clone(),
        None => args.folder.join(component_file(&manifest)),
    };
    fs::write(&out, &component).with_context(|| format!("cannot write {}", out.display()))?;
    if args.json {
        let mut printed = described(&inspection);
        printed["file"] = out.display().to_string().into();
        println!("{printed}");
        return Ok(());
    }
    println!(
        "{}: {}, {} bytes, asks for {}",
        out.display(),
        inspection.role,
        inspection.size,
        or_none(&names(&inspection))
    );
    println!("{}", inspection.digest);
    Ok(())
}

/// The component that is built in a folder where nothing else is said.
pub(super) fn default_component(folder: &Path) -> Result<PathBuf> {
    let manifest = Manifest::parse(&manifest_text(folder)?)
        .with_context(|| folder.join("plugin.toml").display().to_string())?;
    Ok(folder.join(component_file(&manifest)))
}

fn component_file(manifest: &Manifest) -> String {
    format!("{}.wasm", manifest.id)
}

fn manifest_text(folder: &Path) -> Result<String> {
    let path = folder.join("plugin.toml");
    fs::read_to_string(&path).with_context(|| {
        format!(
            "cannot read {}: a plugin has a manifest; `host plugin new` writes one",
            path.display()
        )
    })
}

/// Known by the file that the language's own tools look for.
fn language(folder: &Path) -> Result<Language> {
    let has = |name: &str| folder.join(name).is_file();
    match () {
        () if has("Cargo.toml") => Ok(Language::Rust),
        () if has("package.json") => Ok(Language::Js),
        () if has("requirements.txt") || has("app.py") => Ok(Language::Python),
        () => bail!(
            "{} has neither Cargo.toml nor package.json nor requirements.txt: build it with its own tools, and make \
             it a plugin there",
            folder.display()
        ),
    }
}

/// An operator grants no more than they have to.
fn warn_of_idle_capabilities(manifest: &Manifest, inspection: &Inspection) {
    for asked in manifest.capabilities.difference(&inspection.asked) {
        eprintln!(
            "host: plugin.toml asks for `{asked}`, and the component does not import it: take it out"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_known_by_the_file_of_its_tools() {
        for (file, expected) in [
            ("Cargo.toml", Language::Rust),
            ("package.json", Language::Js),
            ("requirements.txt", Language::Python),
            ("app.py", Language::Python),
        ] {
            let folder = tempfile::tempdir().unwrap();
            assert!(language(folder.path()).is_err());
            fs::write(folder.path().join(file), "").unwrap();
            assert_eq!(language(folder.path()).unwrap(), expected);
        }
    }
}
