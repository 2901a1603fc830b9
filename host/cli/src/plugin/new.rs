//! `host plugin new`: a project that builds and passes its tests as it is.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};
use artifact::{PluginId, Role};

use super::embedded::{self, File, SDK, SDK_LOCK, TEMPLATES};
use crate::args::plugin::{Language, NewArgs};

/// What stands in the templates for the plugin's id.
const NAME: &str = "{{name}}";

/// Where the SDK goes in a project in Rust: it is in no registry.
const VENDOR: &str = "vendor/host";

/// Names that cargo refuses for a package, or that the project's own dependencies have.
const TAKEN: [&str; 9] = [
    "alloc",
    "core",
    "plugin-sdk",
    "proc-macro",
    "serde",
    "std",
    "test",
    "wasip2",
    "wit-bindgen",
];

/// Writes the project and says what to do with it.
pub(super) fn run(args: &NewArgs) -> Result<()> {
    let folder = Path::new(args.name.as_str());
    let template = template(args.lang, args.role)?;
    ensure!(
        args.lang != Language::Rust || !TAKEN.contains(&args.name.as_str()),
        "a Rust package cannot be called `{}`: give another name",
        args.name
    );
    let free = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    ensure!(
        free,
        "{} is there already and is no empty folder: give another name, or remove it",
        folder.display()
    );
    write(folder, &args.name, args.lang, template)?;
    let (setup, test) = match args.lang {
        Language::Rust => ("", "cargo test"),
        Language::Js => ("npm install && ", "npm test"),
        Language::Python => (
            "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && ",
            "python3 -m unittest",
        ),
    };
    println!(
        "{name}/ is a {role}. Next:\n",
        name = args.name,
        role = args.role
    );
    println!("    cd {} && {setup}{test}", args.name);
    println!("    host plugin build && host plugin test");
    Ok(())
}

fn write(folder: &Path, name: &PluginId, lang: Language, template: &[File]) -> Result<()> {
    for (path, text) in template {
        embedded::write(folder, path, &text.replace(NAME, name.as_str()))?;
    }
    if lang == Language::Rust {
        for (path, text) in SDK {
            embedded::write(&folder.join(VENDOR), path, text)?;
        }
        // Cargo drops what the project does not use, and keeps the versions of what it does.
        embedded::write(folder, "Cargo.lock", SDK_LOCK)?;
    }
    Ok(())
}

/// The template of this language and role.
fn template(lang: Language, role: Role) -> Result<&'static [File]> {
    let name = match (lang, role) {
        (Language::Rust, role) => format!("rust-{role}"),
        (Language::Js, Role::Function) => "js".into(),
        (Language::Python, Role::Shaper) => "python".into(),
        (Language::Js, _) => bail!(
            "there is no template of a {role} in JavaScript, which is for functions: write it in Rust (--lang rust), or begin \
             with --lang js --role function and its README"
        ),
        (Language::Python, _) => bail!(
            "there is no template of a {role} in Python, which is for shapers: write it in Rust (--lang rust), or a function in \
             JavaScript (--lang js)"
        ),
    };
    let found = TEMPLATES.iter().find(|(template, _)| *template == name);
    let (_, files) = found.with_context(|| format!("this host has no template `{name}`"))?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXISTING: [(Language, Role); 6] = [
        (Language::Rust, Role::Router),
        (Language::Rust, Role::Shaper),
        (Language::Rust, Role::ChatTemplate),
        (Language::Rust, Role::Function),
        (Language::Js, Role::Function),
        (Language::Python, Role::Shaper),
    ];

    #[test]
    fn every_template_has_a_manifest_of_its_role_with_the_plugins_id() {
        for (lang, role) in EXISTING {
            let folder = tempfile::tempdir().unwrap();
            let name: PluginId = "my-plugin".parse().unwrap();
            let template = template(lang, role).unwrap();
            write(folder.path(), &name, lang, template).unwrap();
            let text = fs::read_to_string(folder.path().join("plugin.toml")).unwrap();
            let manifest = artifact::Manifest::parse(&text).unwrap();
            assert_eq!((manifest.id, manifest.role), (name, role));
            for (path, _) in template {
                let text = fs::read_to_string(folder.path().join(path)).unwrap();
                assert!(!text.contains(NAME), "{lang:?} {role}: {path}");
            }
        }
    }

    #[test]
    fn other_combinations_are_refused_with_those_that_there_are() {
        for lang in [Language::Rust, Language::Js, Language::Python] {
            for role in Role::ALL {
                let found = template(lang, role);
                assert_eq!(found.is_ok(), EXISTING.contains(&(lang, role)));
                if let Err(error) = found {
                    assert!(error.to_string().contains("--lang rust"), "{error}");
                }
            }
        }
    }

    #[test]
    fn the_sdk_comes_with_the_contract_where_it_looks_for_it() {
        let paths: Vec<&str> = SDK.iter().map(|(path, _)| *path).collect();
        for path in [
            "plugins/Cargo.toml",
            "plugins/sdk/Cargo.toml",
            "plugins/sdk/src/lib.rs",
            "plugins/sdk/src/mock/call.rs",
            "wit/v0.1/types.wit",
        ] {
            assert!(paths.contains(&path), "{path}");
        }
    }
}
