//! Commands that speak to a running server's administrators' API.

use std::num::NonZeroU32;

use artifact::{Capability, Digest};
use clap::{Args, Subcommand};
use deploy::{FunctionName, Percent, Route};

/// Where the server's administrators' API is, and the token for it.
#[derive(Args, Debug, Clone)]
pub(crate) struct AdminArgs {
    /// The administrators' API of the server
    #[arg(
        long,
        env = "HOST_ADMIN_URL",
        default_value = "http://127.0.0.1:8001",
        value_name = "URL"
    )]
    pub(crate) admin_url: String,

    /// Its token
    #[arg(
        long,
        env = "HOST_ADMIN_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(crate) admin_token: String,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DeployArgs {
    #[command(flatten)]
    pub(crate) admin: AdminArgs,

    /// The component: a file, or oci:REGISTRY/REPOSITORY:TAG
    #[arg(value_name = "COMPONENT")]
    pub(crate) component: artifact::Source,

    /// Where it answers: a path, or one that ends in /* and stands for all below it [default: /fn/NAME]
    #[arg(long, value_parser = parse::<Route>)]
    pub(crate) route: Option<Route>,

    /// What it is called [default: the id in its plugin.toml, or the file's name]
    #[arg(long, value_parser = parse::<FunctionName>)]
    pub(crate) name: Option<FunctionName>,

    /// What it may import; repeat, or separate by commas [default: nothing]
    #[arg(long, value_delimiter = ',', value_parser = parse_capability, value_name = "CAPABILITY")]
    pub(crate) grant: Vec<Capability>,

    /// A host that it may send requests to, with `--grant outgoing-http`: api.example.com, *.example.com, 127.0.0.1:9000
    #[arg(long, value_delimiter = ',', value_name = "HOST")]
    pub(crate) host: Vec<artifact::HostPattern>,

    /// Its settings, a JSON object, or @FILE with one
    #[arg(long, value_name = "JSON")]
    pub(crate) config: Option<String>,

    /// Let only this share of the requests go to the new version, until it is promoted or rolled back
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    pub(crate) canary: Option<Percent>,

    /// Let everyone call it, without the server's API key
    #[arg(long)]
    pub(crate) public: bool,

    /// Refuse the component if this is not its digest
    #[arg(long, value_parser = parse::<Digest>)]
    pub(crate) digest: Option<Digest>,

    /// Linear memory of one instance, in MiB [default: its plugin.toml's, at most the server's]
    #[arg(long, value_name = "MIB")]
    pub(crate) memory_mib: Option<NonZeroU32>,

    /// Milliseconds that it may compute for one request
    #[arg(long, value_name = "MS")]
    pub(crate) cpu_ms: Option<std::num::NonZeroU64>,

    /// Milliseconds that one request may take
    #[arg(long, value_name = "MS")]
    pub(crate) timeout_ms: Option<std::num::NonZeroU64>,

    /// Requests that it works on at a time [default: 64]
    #[arg(long, value_name = "N")]
    pub(crate) max_concurrency: Option<NonZeroU32>,

    /// Requests that wait for their turn; one more is refused with 429 [default: 256]
    #[arg(long, value_name = "N")]
    pub(crate) max_queue: Option<u32>,
}

/// One function of a running server.
#[derive(Args, Debug)]
pub(crate) struct NamedArgs {
    /// The function
    pub(crate) name: FunctionName,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

#[derive(Subcommand, Debug)]
pub(crate) enum FunctionCommand {
    /// What is deployed
    List(AdminArgs),
    /// One function: its route, its versions and their terms
    Inspect(NamedArgs),
    /// What a function logged, and with --follow what it logs
    Logs {
        /// The function, or a plugin
        name: String,
        /// Wait for more until interrupted
        #[arg(long, short)]
        follow: bool,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Make the canary the version that all requests go to
    Promote(NamedArgs),
    /// Take the canary back, or else the last version
    Rollback(NamedArgs),
    /// Take a function away, with all its versions
    Remove(NamedArgs),
}

pub(super) fn parse<T: std::str::FromStr>(text: &str) -> Result<T, T::Err> {
    text.parse()
}

fn parse_percent(text: &str) -> Result<Percent, String> {
    let number: u8 = text
        .parse()
        .map_err(|_| "give a number from 1 to 99".to_owned())?;
    Percent::try_from(number).map_err(|e| e.to_string())
}

pub(super) fn parse_capability(text: &str) -> Result<Capability, String> {
    let known = Capability::ALL;
    known
        .into_iter()
        .find(|capability| capability.as_str() == text)
        .ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|known| known.as_str()).collect();
            format!("known are {}", names.join(", "))
        })
}
