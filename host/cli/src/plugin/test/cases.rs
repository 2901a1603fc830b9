//! Cases on disk: a folder each, with `input.json` and, once it was blessed, `expected.json`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{difference::difference, plan::Blessing};

/// A case and what it holds.
pub(super) struct Case<I> {
    /// `cases/` and the folder's name.
    pub(super) name: String,
    pub(super) input: I,
    expected: PathBuf,
}

/// The cases of a folder, by their names. A folder in it without `input.json` is an error: it would be passed over in silence.
pub(super) fn read<I: DeserializeOwned>(folder: &Path) -> Result<Vec<Case<I>>> {
    let listed = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let listed = listed.with_context(|| format!("cannot read {}", folder.display()))?;
    let mut folders: Vec<PathBuf> = listed
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders.iter().map(|folder| case(folder)).collect()
}

fn case<I: DeserializeOwned>(folder: &Path) -> Result<Case<I>> {
    let path = folder.join("input.json");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let input = serde_json::from_str(&text)
        .with_context(|| format!("{} is no input of this role", path.display()))?;
    let name = folder.file_name().unwrap_or_default();
    Ok(Case {
        name: format!("cases/{}", name.to_string_lossy()),
        input,
        expected: folder.join("expected.json"),
    })
}

/// What a case came to, beside what was expected.
pub(super) enum Comparison {
    /// The same.
    Same,
    /// It is what is expected from now on.
    Blessed,
    /// Something else, or nothing was expected yet: why, and where they differ.
    Other(String),
}

impl<I> Case<I> {
    /// Compares what the case came to with what is expected, or writes it.
    pub(super) fn compare(&self, found: &Value, blessing: Blessing) -> Result<Comparison> {
        let path = &self.expected;
        let expected = match fs::read_to_string(path) {
            Ok(text) => serde_json::from_str::<Value>(&text)
                .map(Some)
                .with_context(|| {
                    format!("{} is no JSON; write it anew with --bless", path.display())
                }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        if blessing == Blessing::Write {
            if matches!(&expected, Ok(Some(expected)) if expected == found) {
                return Ok(Comparison::Same);
            }
            fs::write(path, format!("{found:#}\n"))
                .with_context(|| format!("cannot write {}", path.display()))?;
            return Ok(Comparison::Blessed);
        }
        Ok(match expected? {
            Some(expected) if expected == *found => Comparison::Same,
            Some(expected) => Comparison::Other(format!(
                "it differs from {} (-: expected, +: found); if that is right, run with --bless\n{}",
                path.display(),
                difference(&format!("{expected:#}"), &format!("{found:#}"))
            )),
            None => Comparison::Other(format!(
                "nothing is expected yet: {} is missing; if this is right, run with --bless\n{}",
                path.display(),
                difference("", &format!("{found:#}"))
            )),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(folder: &Path) -> Case<Value> {
        read(folder).unwrap().remove(0)
    }

    #[test]
    fn what_was_blessed_is_expected_and_anything_else_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("first")).unwrap();
        fs::write(folder.path().join("first/input.json"), "{}").unwrap();
        let case = one(folder.path());
        assert_eq!(case.name, "cases/first");
        let compare = |found, blessing| case.compare(&found, blessing).unwrap();

        let missing = compare(json!({"a": 1}), Blessing::Compare);
        assert!(matches!(missing, Comparison::Other(why) if why.contains("--bless")));
        let blessed = compare(json!({"a": 1}), Blessing::Write);
        assert!(matches!(blessed, Comparison::Blessed));
        let same = compare(json!({"a": 1}), Blessing::Compare);
        assert!(matches!(same, Comparison::Same));
        let Comparison::Other(why) = compare(json!({"a": 2}), Blessing::Compare) else {
            panic!("2 is not 1");
        };
        assert!(
            why.contains("-   \"a\": 1\n") && why.contains("+   \"a\": 2\n"),
            "{why}"
        );
    }

    #[test]
    fn a_folder_without_an_input_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("half")).unwrap();
        let error = read::<Value>(folder.path()).err().unwrap();
        assert!(error.to_string().contains("half/input.json"), "{error}");
    }
}
