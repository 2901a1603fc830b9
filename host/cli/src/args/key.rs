//! `host key`.

use clap::Subcommand;
use server::KeyName;

#[derive(Subcommand, Debug)]
pub(crate) enum KeyCommand {
    /// Make a key: its entry for the file of --api-keys goes to stdout, its secret is shown once on stderr
    New {
        /// What it is called in logs: 1 to 64 letters, digits, `-`, `_`, `.` and `@`
        name: KeyName,
        /// Print both as JSON
        #[arg(long)]
        json: bool,
    },
}
