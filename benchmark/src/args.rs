//! The flags of the command.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use reqwest::Url;

/// Measure throughput and latency of an OpenAI-compatible server under a closed loop of requests
#[derive(Args, Clone, Debug)]
pub struct BenchmarkArgs {
    /// Address of the OpenAI API, usually ending in /v1; http or https
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000/v1", value_parser = parse_base_url)]
    pub base_url: Url,

    /// Key sent as a bearer token
    #[arg(
        long,
        value_name = "KEY",
        env = "OPENAI_API_KEY",
        hide_env_values = true
    )]
    pub api_key: Option<String>,

    /// Model to ask for [default: the first that GET /models lists]
    #[arg(long)]
    pub model: Option<String>,

    /// Which of the two generation endpoints to call
    #[arg(long, value_enum, default_value_t = Endpoint::Chat)]
    pub endpoint: Endpoint,

    /// Requests to measure
    #[arg(
        long,
        visible_alias = "num-prompts",
        value_name = "N",
        default_value = "50"
    )]
    pub requests: NonZeroU32,

    /// Requests kept in flight; a new one starts when one ends
    #[arg(
        long,
        visible_alias = "max-concurrency",
        value_name = "N",
        default_value = "10"
    )]
    pub concurrency: NonZeroU32,

    /// Requests sent first, one after another, and not measured
    #[arg(
        long,
        visible_alias = "num-warmups",
        value_name = "N",
        default_value_t = 1
    )]
    pub warmup: u32,

    /// Most tokens of one answer
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub max_tokens: u32,

    /// Sampling temperature; 0 is greedy, which makes runs comparable
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub temperature: f64,

    /// Seed of the random prompts (0 if absent); if given, also sent as the request's seed
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Ask for exactly --max-tokens tokens (an extension that vLLM, SGLang and host know)
    #[arg(long)]
    pub ignore_eos: bool,

    /// Send this text every time [default: short questions on varied subjects]
    #[arg(long, value_name = "TEXT", conflicts_with = "input_len")]
    pub prompt: Option<String>,

    /// Send random prompts of about this many words, no two alike
    #[arg(long, visible_alias = "random-input-len", value_name = "WORDS")]
    pub input_len: Option<NonZeroU32>,

    /// Seconds after which a request counts as failed
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = parse_timeout)]
    pub timeout: Duration,

    /// Write the JSON report to this file too
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Print the JSON report instead of the table
    #[arg(long)]
    pub json: bool,

    /// Add one record per request to the JSON report
    #[arg(long)]
    pub save_detailed: bool,
}

/// An OpenAI endpoint that generates text.
#[derive(ValueEnum, serde::Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    /// `POST /chat/completions`
    Chat,
    /// `POST /completions`
    Completions,
}

impl Endpoint {
    /// The path below the base URL.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Endpoint::Chat => "chat/completions",
            Endpoint::Completions => "completions",
        }
    }
}

fn parse_base_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text)
        .map_err(|error| format!("{error}; write it like http://127.0.0.1:8000/v1"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it has to begin with http:// or https://".into());
    }
    // The report names the base URL and gets published; a secret has its own flag.
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err("a user, password or query does not belong in it; use --api-key".into());
    }
    Ok(url)
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|timeout| !timeout.is_zero())
        .ok_or_else(|| "it has to be a number of seconds above 0".into())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: BenchmarkArgs,
    }

    fn parse(args: &[&str]) -> Result<BenchmarkArgs, clap::Error> {
        let words = std::iter::once("benchmark").chain(args.iter().copied());
        Cli::try_parse_from(words).map(|cli| cli.args)
    }

    #[test]
    fn the_defaults_are_the_seed_workload() {
        let args = parse(&[]).unwrap();
        assert_eq!(args.base_url.as_str(), "http://127.0.0.1:8000/v1");
        assert_eq!((args.requests.get(), args.concurrency.get()), (50, 10));
        assert_eq!((args.max_tokens, args.warmup), (256, 1));
        assert_eq!(args.timeout, Duration::from_secs(300));
        assert_eq!(args.endpoint, Endpoint::Chat);
    }

    #[test]
    fn vllms_names_are_understood() {
        let args = parse(&["--num-prompts", "7", "--max-concurrency", "3"]).unwrap();
        assert_eq!((args.requests.get(), args.concurrency.get()), (7, 3));
    }

    #[test]
    fn values_that_cannot_be_run_are_usage_errors() {
        for bad in [
            &["--requests", "0"][..],
            &["--concurrency", "0"],
            &["--timeout", "0"],
            &["--timeout", "-1"],
            &["--timeout", "nan"],
            &["--base-url", "127.0.0.1:8000"],
            &["--base-url", "ftp://127.0.0.1/v1"],
            &["--base-url", "http://user:secret@127.0.0.1/v1"],
            &["--prompt", "Hi", "--input-len", "5"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
