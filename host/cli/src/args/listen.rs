//! Who may connect to `host serve`, and how.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::Args;
use server::AllowedOrigins;

#[derive(Args, Debug)]
pub(crate) struct ListenArgs {
    /// Keys that clients may use; repeat for several [default: everyone is let in]
    #[arg(
        long,
        env = "HOST_API_KEY",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "KEY"
    )]
    pub(crate) api_key: Vec<String>,

    /// A TOML file of keys by name, with their limits, models and settings (host/docs/operations.md); `host key new` makes one.
    /// SIGHUP reads it again
    #[arg(long, env = "HOST_API_KEYS", value_name = "FILE")]
    pub(crate) api_keys: Option<PathBuf>,

    /// Certificates to serve https with, in PEM: the server's own, then those that vouch for it. SIGHUP reads them again
    #[arg(
        long,
        env = "HOST_SSL_CERTFILE",
        requires = "ssl_keyfile",
        value_name = "FILE"
    )]
    pub(crate) ssl_certfile: Option<PathBuf>,

    /// The private key of the certificate, in PEM
    #[arg(
        long,
        env = "HOST_SSL_KEYFILE",
        requires = "ssl_certfile",
        value_name = "FILE"
    )]
    pub(crate) ssl_keyfile: Option<PathBuf>,

    /// Origins whose pages may read the answers: a JSON list, or with commas between
    #[arg(
        long,
        default_value = "*",
        env = "HOST_ALLOWED_ORIGINS",
        value_name = "ORIGINS"
    )]
    pub(crate) allowed_origins: AllowedOrigins,

    /// Connections at a time; one more is told 503
    #[arg(
        long,
        default_value = "8192",
        env = "HOST_MAX_CONNECTIONS",
        value_name = "N"
    )]
    pub(crate) max_connections: NonZeroUsize,
}
