//! The standard library for WebAssembly: rustup's, or one that was built from source where rustup cannot download it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use super::{INSTALL, TARGET, process};

/// `None` if the compiler has one of its own; else the folder to name in `--sysroot`.
pub(super) fn find(folder: &Path) -> Result<Option<PathBuf>> {
    let rustc = |argument: &[&str]| {
        let mut rustc = Command::new("rustc");
        rustc.args(argument).current_dir(folder);
        process::output(&mut rustc, INSTALL)
    };
    let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?.trim());
    if has_library(&sysroot) {
        return Ok(None);
    }
    let mut rustup = Command::new("rustup");
    rustup
        .args(["target", "add", TARGET])
        // Without a network it must give up in seconds: the other way may still work.
        .env("RUSTUP_MAX_RETRIES", "0")
        .current_dir(folder);
    if process::run(&mut rustup, "it comes with https://rustup.rs").is_ok() && has_library(&sysroot)
    {
        return Ok(None);
    }
    let version = rustc(&["-V"])?;
    match built_from_source(&version).filter(|built| has_library(built)) {
        Some(built) => Ok(Some(built)),
        None => bail!(
            "there is no standard library for {TARGET}: run rustup target add {TARGET}, or have plugins/tools/build-std of the \
             host's repository build one"
        ),
    }
}

/// Where `plugins/build` keeps the one that it makes for the compiler that says `rustc VERSION (…)` of itself.
fn built_from_source(version: &str) -> Option<PathBuf> {
    let number = version.split_whitespace().nth(1)?;
    let cache = match env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(env::var_os("HOME")?).join(".cache"),
    };
    Some(cache.join("host/wasm-std").join(number))
}

fn has_library(sysroot: &Path) -> bool {
    let folder = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    let Ok(files) = fs::read_dir(folder) else {
        return false;
    };
    files.flatten().any(|file| {
        let name = file.file_name().to_string_lossy().into_owned();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sysroot_counts_only_with_the_library_in_it() {
        let sysroot = tempfile::tempdir().unwrap();
        let folder = sysroot.path().join("lib/rustlib").join(TARGET).join("lib");
        assert!(!has_library(sysroot.path()));
        fs::create_dir_all(&folder).unwrap();
        assert!(!has_library(sysroot.path()));
        fs::write(folder.join("libstd-0123.rlib"), "").unwrap();
        assert!(has_library(sysroot.path()));
    }

    #[test]
    fn the_library_from_source_is_kept_by_the_compilers_version() {
        let found = built_from_source("rustc 1.95.0 (abc 2026-01-01)").unwrap();
        assert!(found.ends_with("host/wasm-std/1.95.0"), "{found:?}");
    }
}
