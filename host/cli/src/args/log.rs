//! What is logged, and how it is written.

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

#[derive(Args, Debug)]
pub(crate) struct LogArgs {
    /// What is logged: off, error, warn, info, debug, trace, or by target, such as warn,host::access=off. RUST_LOG is the second
    /// choice [default: warn and what plugins log; host serve: and each request]
    #[arg(long, global = true, env = "HOST_LOG", value_name = "LEVEL", value_parser = filter)]
    pub(crate) log_level: Option<String>,

    /// How it is written to stderr
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "HOST_LOG_FORMAT")]
    pub(crate) log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines to read
    Text,
    /// One JSON object a line
    Json,
}

fn filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "{error}: give a level, such as info, or target=level with commas between"
        )),
    }
}
