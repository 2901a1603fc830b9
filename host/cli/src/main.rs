#![doc = include_str!("../README.md")]

mod admin;
mod args;
mod builtin;
mod components;
mod doctor;
mod key;
mod keys;
mod offline;
mod plugin;
mod plugins;
mod reload;
mod serve;
mod telemetry;
mod tls;
mod wire;

use std::process::ExitCode;

use clap::Parser;
use telemetry::Telemetry;

/// What a supervisor sees when the engine broke: sysexits.h's EX_SOFTWARE. A restart is worth trying.
const EXIT_ENGINE_BROKE: u8 = 70;

fn main() -> ExitCode {
    let args::Cli { log, command } = args::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let serves = matches!(command, args::Command::Serve(_));
    let telemetry = Telemetry::start(
        &log,
        default_log(&command),
        serves.then_some(runtime.handle()),
    );
    let result = match command {
        args::Command::Serve(args) => runtime.block_on(serve::run(args)),
        args::Command::Benchmark(command) => match command.what {
            None => runtime
                .block_on(benchmark::run(command.http))
                .map(|_| ())
                .map_err(Into::into),
            Some(args::Offline::Engine(args)) => runtime.block_on(offline::engine::run(&args)),
            Some(args::Offline::Kernels(args)) => offline::kernels::run(&args),
            Some(args::Offline::Tune(args)) => offline::tune::run(&args),
            Some(args::Offline::Greedy(args)) => runtime.block_on(offline::greedy::run(&args)),
        },
        args::Command::Deploy(args) => runtime.block_on(admin::deploy::run(*args)),
        args::Command::Function(command) => runtime.block_on(admin::function::run(command)),
        args::Command::Plugin(command) => runtime.block_on(plugin::run(*command)),
        args::Command::Key(command) => key::run(&command),
        args::Command::Doctor => doctor::run(),
    };
    telemetry.stop();
    // A blocking task that still tokenises must not hold the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// What is logged where neither `--log-level` nor `RUST_LOG` says. `host plugin` shows what a plugin logged where that tells something.
fn default_log(command: &args::Command) -> &'static str {
    match command {
        args::Command::Plugin(_) => "warn,plugin=off",
        args::Command::Serve(_) => "warn,plugin=info,host::access=info",
        args::Command::Benchmark(_)
        | args::Command::Deploy(_)
        | args::Command::Function(_)
        | args::Command::Key(_)
        | args::Command::Doctor => "warn,plugin=info",
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("host: {error:#}");
    exit_code(error)
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.is::<serve::EngineBroke>() {
        true => ExitCode::from(EXIT_ENGINE_BROKE),
        false => ExitCode::FAILURE,
    }
}
