//! The binary, run in a folder.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

/// Where cargo puts what it compiles of all projects, so that the SDK's dependencies are compiled once.
const TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/plugin-projects");

/// Runs the host in a folder.
pub(crate) fn host(folder: &Path, arguments: &[&str]) -> Output {
    run(env!("CARGO_BIN_EXE_host"), folder, arguments)
}

fn run(program: &str, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", TARGET)
        .env_remove("HOST_LOG");
    // What the cargo that runs this test says of itself is not meant for the projects.
    for (name, _) in std::env::vars() {
        if name.starts_with("CARGO_PKG_")
            || name == "RUSTFLAGS"
            || name == "CARGO_ENCODED_RUSTFLAGS"
        {
            command.env_remove(name);
        }
    }
    command
        .output()
        .unwrap_or_else(|e| panic!("cannot run {program}: {e}"))
}

/// What a program wrote, to stdout and then to stderr.
pub(crate) fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

/// A project in a folder that is removed in the end.
pub(crate) struct Project {
    folder: TempDir,
    name: String,
}

impl Project {
    /// What `host plugin new` writes.
    pub(crate) fn new(role: &str, name: &str) -> Project {
        let folder = tempfile::tempdir().unwrap();
        let made = host(folder.path(), &["plugin", "new", name, "--role", role]);
        assert!(made.status.success(), "{}", text(&made));
        Project {
            folder,
            name: name.into(),
        }
    }

    /// A file of the project.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(&self.name).join(file)
    }

    /// The component's file, as seen from the project.
    pub(crate) fn component(&self) -> String {
        format!("{}.wasm", self.name)
    }

    pub(crate) fn cargo(&self, arguments: &[&str]) -> Output {
        run("cargo", &self.path(""), arguments)
    }

    pub(crate) fn host(&self, arguments: &[&str]) -> Output {
        host(&self.path(""), arguments)
    }

    /// What a command prints that must succeed.
    pub(crate) fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.host(arguments);
        assert!(output.status.success(), "{arguments:?}\n{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command says that must fail.
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        let output = self.host(arguments);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{arguments:?}\n{}",
            text(&output)
        );
        text(&output)
    }

    /// The JSON that a command prints that must succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.succeeds(arguments);
        serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{arguments:?}: {e}\n{printed}"))
    }
}
