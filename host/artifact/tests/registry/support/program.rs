//! Finds the registry's program, or fetches it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Fetches it on a Debian machine.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.ci/get-registry");

/// The program of the container registry.
pub(super) fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        if let Some(set) = env::var_os("HOST_TEST_REGISTRY") {
            return set.into();
        }
        let folder = cache();
        installed()
            .or_else(|| Some(in_cache(&folder)).filter(|path| path.is_file()))
            .unwrap_or_else(|| fetch(&folder))
    })
}

fn installed() -> Option<PathBuf> {
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    ["docker-registry", "registry"]
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
}

fn cache() -> PathBuf {
    let caches = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || {
        env::home_dir()
            .expect("there is a home folder")
            .join(".cache")
    };
    caches.unwrap_or_else(home).join("host/docker-registry")
}

fn in_cache(folder: &Path) -> PathBuf {
    folder.join("usr/bin/docker-registry")
}

fn fetch(folder: &Path) -> PathBuf {
    let output = Command::new(SCRIPT).arg(folder).output();
    let said = match &output {
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(e) => e.to_string(),
    };
    let path = in_cache(folder);
    assert!(
        output.is_ok_and(|output| output.status.success()) && path.is_file(),
        "these tests need a container registry, and there is none: install Debian's package `docker-registry`, run \
         `.ci/get-registry {}`, or set HOST_TEST_REGISTRY to the path of the program ({said})",
        folder.display()
    );
    path
}
