//! Running other people's tools, whose talk goes to the terminal as it is.

use std::{
    io::ErrorKind,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

/// Runs a command to its end with its output on stderr, as stdout is for data. `missing` says how to get the program.
pub(super) fn run(command: &mut Command, missing: &str) -> Result<()> {
    capture(command, missing, Talk::Shown).map(drop)
}

/// What becomes of what a command writes to stdout.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Talk {
    Shown,
    Taken,
}

/// The same, and returns what the command wrote to stdout.
pub(super) fn output(command: &mut Command, missing: &str) -> Result<String> {
    capture(command, missing, Talk::Taken)
}

fn capture(command: &mut Command, missing: &str, talk: Talk) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let child = match child {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("there is no {name}: {missing}"),
        child => child.with_context(|| format!("cannot run {name}"))?,
    };
    let output = child
        .wait_with_output()
        .with_context(|| format!("cannot wait for {name}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if talk == Talk::Shown {
        eprint!("{text}");
    }
    ensure!(
        output.status.success(),
        "{name} failed ({}): what it said stands above",
        output.status
    );
    Ok(text)
}
