//! What is to be tested, and how, before anything runs.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use artifact::{Capability, Digest, Inspection, Role};
use sandbox::PluginSpec;

use crate::{
    args::plugin::TestArgs, components, plugin::build::default_component, plugins::Settings,
};

/// A component and the circumstances of its test.
pub(super) struct Plan {
    pub(super) component: PathBuf,
    pub(super) wasm: Vec<u8>,
    pub(super) digest: Digest,
    pub(super) role: Role,
    /// As the server would load it, under limits that are the server's.
    pub(super) spec: PluginSpec,
    /// Where the cases are, if there are any.
    pub(super) cases: Option<PathBuf>,
    pub(super) only: Option<String>,
    pub(super) blessing: Blessing,
    pub(super) repeat: usize,
    /// The command that runs one thing again, but for its name.
    again: String,
}

/// What becomes of what the cases come to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Blessing {
    /// It is what is expected from now on.
    Write,
    /// It is compared with what is expected.
    Compare,
}

impl Plan {
    /// Reads the component, and fails where the server would not load it.
    pub(super) fn new(args: TestArgs) -> Result<Plan> {
        let component = match &args.component {
            Some(component) => component.clone(),
            None => default_component(Path::new("."))?,
        };
        let wasm = components::read(&component)?;
        let place = || component.display().to_string();
        let inspection = artifact::inspect(&wasm).with_context(place)?;
        inspection.check_manifest().with_context(place)?;
        let cases = cases(args.cases.as_deref(), &component)?;
        let spec = PluginSpec {
            name: name(&inspection, &component).into(),
            grants: grants(args.grant.as_deref(), &inspection),
            hosts: match &inspection.manifest {
                Some(manifest) => manifest.outgoing_hosts.clone(),
                None => Vec::new(),
            },
            config: config(args.config.as_deref(), cases.as_deref())?,
            ..PluginSpec::named("")
        };
        Ok(Plan {
            again: again(&args, &component),
            digest: inspection.digest,
            role: inspection.role,
            only: args.only,
            blessing: if args.bless {
                Blessing::Write
            } else {
                Blessing::Compare
            },
            repeat: args.repeat,
            component,
            wasm,
            spec,
            cases,
        })
    }

    /// Whether this is to be run.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only))
    }

    /// The command that runs this again.
    pub(super) fn again(&self, name: &str) -> String {
        format!("{} --only {}", self.again, quoted(name))
    }
}

/// The folder that was named, or the one beside the component if there is one.
fn cases(given: Option<&Path>, component: &Path) -> Result<Option<PathBuf>> {
    match given {
        Some(folder) => {
            ensure!(
                folder.is_dir(),
                "there is no folder {}: name one that holds a folder for each case",
                folder.display()
            );
            Ok(Some(folder.to_owned()))
        }
        None => Ok(Some(component.with_file_name("cases")).filter(|folder| folder.is_dir())),
    }
}

fn name(inspection: &Inspection, component: &Path) -> String {
    match &inspection.manifest {
        Some(manifest) => manifest.id.to_string(),
        None => {
            let stem = component.file_stem().unwrap_or_default();
            stem.to_string_lossy().into_owned()
        }
    }
}

fn grants(given: Option<&[Capability]>, inspection: &Inspection) -> BTreeSet<Capability> {
    match (given, &inspection.manifest) {
        (Some(given), _) => given.iter().copied().collect(),
        (None, Some(manifest)) => manifest.capabilities.clone(),
        (None, None) => inspection.asked.clone(),
    }
}

fn config(given: Option<&str>, cases: Option<&Path>) -> Result<Settings> {
    let (text, place) = match (given, cases.map(|cases| cases.join("config.json"))) {
        (Some(given), _) => match given.strip_prefix('@') {
            Some(path) => (read(Path::new(path))?, path.to_owned()),
            None => (given.to_owned(), "--config".to_owned()),
        },
        (None, Some(path)) if path.is_file() => (read(&path)?, path.display().to_string()),
        (None, _) => return Ok(Settings::new()),
    };
    serde_json::from_str(&text).with_context(|| format!("{place} is no JSON object"))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn again(args: &TestArgs, component: &Path) -> String {
    let mut command = format!("host plugin test {}", quoted(&component.to_string_lossy()));
    if let Some(cases) = &args.cases {
        command += &format!(" {}", quoted(&cases.to_string_lossy()));
    }
    if let Some(config) = &args.config {
        command += &format!(" --config {}", quoted(config));
    }
    if let Some(grants) = &args.grant {
        let grants: Vec<&str> = grants.iter().map(|grant| grant.as_str()).collect();
        command += &format!(" --grant {}", grants.join(","));
    }
    command
}

/// As a shell reads it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@:,=".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_quoted_text_as_it_was() {
        assert_eq!(quoted("./a-b.wasm"), "./a-b.wasm");
        assert_eq!(quoted(r#"{"a": 1}"#), r#"'{"a": 1}'"#);
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn settings_are_those_of_the_command_line_or_else_of_the_cases() {
        let cases = tempfile::tempdir().unwrap();
        let config = |given| config(given, Some(cases.path()));
        assert!(config(None).unwrap().is_empty());
        fs::write(cases.path().join("config.json"), r#"{"from": "cases"}"#).unwrap();
        assert_eq!(config(None).unwrap()["from"], "cases");
        assert_eq!(config(Some(r#"{"from": "line"}"#)).unwrap()["from"], "line");
        let file = format!("@{}", cases.path().join("config.json").display());
        assert_eq!(config(Some(&file)).unwrap()["from"], "cases");
        let error = config(Some("[]")).unwrap_err().to_string();
        assert!(error.contains("--config is no JSON object"), "{error}");
    }
}
