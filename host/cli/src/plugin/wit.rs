//! `host plugin wit`: the WIT packages that components are built for, laid out as compilers look for them.

use std::path::Path;

use anyhow::Result;

use super::embedded::{self, CONTRACT, WASI};

/// Writes them and says how many there are.
pub(super) fn run(folder: &Path) -> Result<()> {
    write(folder)?;
    println!(
        "{}: lm-plugin, and {} packages of WASI",
        folder.display(),
        WASI.len()
    );
    Ok(())
}

/// Writes `lm-plugin/*.wit`, and a file for each package of WASI.
pub(super) fn write(folder: &Path) -> Result<()> {
    for (name, text) in CONTRACT {
        embedded::write(folder, &format!("lm-plugin/{name}"), text)?;
    }
    for (name, text) in WASI {
        embedded::write(folder, name, text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_wasi_are_written_in_files_named_after_their_packages() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let second = [
            "cli",
            "clocks",
            "filesystem",
            "http",
            "io",
            "random",
            "sockets",
        ];
        let third = ["cli", "clocks", "filesystem", "http", "random", "sockets"];
        let mut expected: Vec<String> = second
            .iter()
            .map(|package| format!("wasi-{package}-0.2.12.wit"))
            .chain(
                third
                    .iter()
                    .map(|package| format!("wasi-{package}-0.3.0.wit")),
            )
            .chain(["lm-plugin".into()])
            .collect();
        expected.sort();
        let mut found: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, expected);
        let types = folder.path().join("lm-plugin/types.wit");
        let text = std::fs::read_to_string(types).unwrap();
        assert!(text.contains("package lm:plugin@0.1.0;"), "{text}");
    }
}
