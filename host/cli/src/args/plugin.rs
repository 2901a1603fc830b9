//! Commands for authors of plugins, and for operators of what authors made.

use std::path::PathBuf;

use artifact::{Capability, PluginId, Reference, Role, Source};
use clap::{Args, Subcommand, ValueEnum};

use super::admin::{AdminArgs, parse, parse_capability};

#[derive(Subcommand, Debug)]
pub(crate) enum PluginCommand {
    /// Write a project that builds and passes its tests as it is
    New(NewArgs),
    /// Write the WIT packages that plugins are built for: lm:plugin, and WASI 0.2 and 0.3
    Wit {
        /// Where to; made if it is missing
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Build the project in a folder, whatever its language, and put its plugin.toml into the component
    Build(BuildArgs),
    /// Say what a component is: role, imports, exports, what it asks for
    Inspect(InspectArgs),
    /// Run a component's cases and a set of harmful inputs in the sandbox that it will serve in
    Test(TestArgs),
    /// Fetch a component from a registry, and keep it on this machine
    Pull(PullArgs),
    /// Put a component into a registry
    Push(PushArgs),
    /// The plugins that serve in a running server
    List(AdminArgs),
    /// Have a running server read its plugin file again
    Reload(AdminArgs),
}

#[derive(Args, Debug)]
pub(crate) struct NewArgs {
    /// Its id, and the folder that is made for it: lower-case letters, digits and hyphens
    #[arg(value_parser = parse::<PluginId>)]
    pub(crate) name: PluginId,

    /// What it is for
    #[arg(long, value_parser = parse_role)]
    pub(crate) role: Role,

    /// What it is written in
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    pub(crate) lang: Language,
}

/// What there are templates for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// Every role
    Rust,
    /// Functions
    Js,
    /// Shapers
    Python,
}

#[derive(Args, Debug)]
pub(crate) struct BuildArgs {
    /// Where its plugin.toml lies
    #[arg(default_value = ".", value_name = "FOLDER")]
    pub(crate) folder: PathBuf,

    /// Where to write the component [default: FOLDER/ID.wasm]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// The component: a file, sha256:… that is on this machine, or oci:REGISTRY/REPOSITORY:TAG
    #[arg(value_name = "COMPONENT")]
    pub(crate) component: Source,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Print the WIT of its world
    #[arg(long, conflicts_with = "json")]
    pub(crate) wit: bool,
}

#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// The component [default: the one that `host plugin build` writes in this folder]
    #[arg(value_name = "FILE")]
    pub(crate) component: Option<PathBuf>,

    /// A folder with a folder for each case, with input.json and expected.json in it [default: `cases` beside the component]
    #[arg(value_name = "CASES")]
    pub(crate) cases: Option<PathBuf>,

    /// Write what the cases come to as what is expected of them
    #[arg(long)]
    pub(crate) bless: bool,

    /// Run only what has this in its name
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,

    /// Its settings, a JSON object, or @FILE with one [default: config.json among the cases, or else none]
    #[arg(long, value_name = "JSON")]
    pub(crate) config: Option<String>,

    /// What it may import; repeat, or separate by commas [default: all that it asks for]
    #[arg(long, value_delimiter = ',', value_parser = parse_capability, value_name = "CAPABILITY")]
    pub(crate) grant: Option<Vec<Capability>>,

    /// How often a case that passed is run again to time it
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub(crate) repeat: usize,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct PullArgs {
    /// oci:REGISTRY/REPOSITORY:TAG
    #[arg(value_parser = parse_reference)]
    pub(crate) reference: Reference,

    /// Write it here as well
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct PushArgs {
    /// The component: a file, or sha256:… that is on this machine
    #[arg(value_name = "COMPONENT")]
    pub(crate) component: Source,

    /// oci:REGISTRY/REPOSITORY:TAG
    #[arg(value_parser = parse_reference)]
    pub(crate) reference: Reference,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_role(text: &str) -> Result<Role, String> {
    Role::ALL
        .into_iter()
        .find(|role| role.as_str() == text)
        .ok_or_else(|| {
            let names = Role::ALL.map(Role::as_str);
            format!("known are {}", names.join(", "))
        })
}

fn parse_reference(text: &str) -> Result<Reference, String> {
    let Some(reference) = text.strip_prefix("oci:") else {
        return Err(
            "write oci:REGISTRY/REPOSITORY:TAG, such as oci:registry.example.com/team/forecast:0.1.0"
                .into(),
        );
    };
    reference
        .parse()
        .map_err(|e: artifact::NotAReference| e.to_string())
}
