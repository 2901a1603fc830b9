//! `host serve`.

use std::{net::SocketAddr, sync::Arc, thread::JoinHandle, time::Duration};

use anyhow::{Context, Result};
use engine::{
    Caching, ComputeThread, EngineConfig, EngineHandle, Overlap, Scheduling, runner::StepError,
};
use model::CpuRunner;
use sandbox::{AotCache, Limits, Loader, Sandbox};
use server::{ApiKeys, App, Settings};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use crate::{
    args::{SchedulingPolicy, ServeArgs},
    plugins, wire,
};

/// The engine's thread ended by a fault of the model runner; only a new process can serve again.
#[derive(Debug, thiserror::Error)]
#[error("{0}; restart the process")]
pub(crate) struct EngineBroke(String);

/// What shells expect of a process that Ctrl-C ended: 128 and the signal's number.
const EXIT_INTERRUPTED: i32 = 130;

/// Loads everything, says where it listens, and serves until SIGTERM or Ctrl-C.
pub(crate) async fn run(args: Box<ServeArgs>) -> Result<()> {
    let args = Arc::<ServeArgs>::from(args);
    anyhow::ensure!(
        args.max_num_batched_tokens >= args.max_num_seqs,
        "--max-num-batched-tokens ({}) must be at least --max-num-seqs ({}): every running sequence takes a token a step",
        args.max_num_batched_tokens,
        args.max_num_seqs,
    );
    anyhow::ensure!(
        args.speculative.is_none() || args.async_scheduling != Some(true),
        "--speculative and --async-scheduling exclude each other: guesses are made from tokens that have been read",
    );
    // Before anything slow: a port that is taken should be known at once.
    let asked = SocketAddr::new(args.host, args.port);
    let listener = TcpListener::bind(asked)
        .await
        .with_context(|| format!("cannot listen on {asked}"))?;
    let address = listener.local_addr()?;

    let sandbox = Sandbox::new(limits(&args))?;
    let cache = AotCache::open(model::demo::cache_dir().join("plugins"))?;
    let loader = Loader::new(sandbox.clone(), Some(cache));
    let load_model = tokio::task::spawn_blocking({
        let args = args.clone();
        move || {
            let path = wire::find_model(args.model.as_deref())?;
            let loaded = wire::load_model(&path, &args)?;
            let served = wire::served_model(&loaded)?;
            anyhow::Ok((loaded, served))
        }
    });
    let load_model = async { load_model.await.context("loading the model stopped")? };
    let ((loaded, served), plugins) = tokio::try_join!(
        load_model,
        plugins::load(&loader, args.plugins.as_deref(), shaper_config(&args))
    )?;

    let names = served_names(&args);
    let root = loaded.path.display().to_string();
    let (engine, engine_thread) = start_engine(loaded.runner, engine_config(&args, root.clone()));
    let settings = Settings {
        api_keys: ApiKeys::new(args.api_key.clone()),
        max_body_bytes: args.max_body_bytes,
        request_timeout: args.request_timeout.map(|s| Duration::from_secs(s.get())),
    };
    let app = Arc::new(App::new(
        &names, &root, served, sandbox, plugins, engine, settings,
    ));

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (engine_ended, ended) = oneshot::channel();
    std::thread::spawn(move || engine_ended.send(engine_thread.join()));
    announce(address, &names[0], !args.api_key.is_empty());

    let mut broke = None;
    let shutdown = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            result = ended => broke = Some(result),
        }
        // Whoever presses Ctrl-C while requests are let to their end will not wait for them.
        tokio::spawn(async move {
            interrupt.recv().await;
            std::process::exit(EXIT_INTERRUPTED)
        });
    };
    let drain = Duration::from_secs(args.shutdown_timeout);
    if server::serve(listener, app, shutdown, drain).await.is_err() {
        eprintln!("host: some requests were still running after {drain:?} and were cut off");
    }
    match broke {
        None => Ok(()),
        Some(Ok(Ok(Err(fault)))) => Err(EngineBroke(fault.to_string()).into()),
        Some(_) => Err(EngineBroke("the engine's thread panicked".into()).into()),
    }
}

fn engine_config(args: &ServeArgs, model: String) -> EngineConfig {
    EngineConfig {
        max_num_seqs: args.max_num_seqs.into(),
        max_num_batched_tokens: args.max_num_batched_tokens.into(),
        max_num_queued_reqs: args.max_num_queued_reqs,
        scheduling: match args.scheduling_policy {
            SchedulingPolicy::Fcfs => Scheduling::Fcfs,
            SchedulingPolicy::Priority => Scheduling::Priority,
        },
        prefix_caching: match args.no_prefix_caching {
            true => Caching::Off,
            false => Caching::On,
        },
        overlap: match args.async_scheduling {
            Some(true) => Overlap::On,
            Some(false) | None => Overlap::Off,
        },
        num_draft_tokens: args.speculative.unwrap_or(0),
        model,
        ..EngineConfig::default()
    }
}

/// The CPU's runner computes where it is called, so it gets a thread of its own where planning is to overlap.
fn start_engine(
    runner: CpuRunner,
    config: EngineConfig,
) -> (EngineHandle, JoinHandle<Result<(), StepError>>) {
    match config.overlap {
        Overlap::On => EngineHandle::start(ComputeThread::start(runner), config),
        Overlap::Off => EngineHandle::start(runner, config),
    }
}

/// A router's and a template's instance live as long as their request, and shapers come and go.
fn limits(args: &ServeArgs) -> Limits {
    let requests = usize::from(args.max_num_seqs) + args.max_num_queued_reqs;
    Limits {
        max_instances: u32::try_from(2 * requests + 64)
            .unwrap_or(u32::MAX)
            .min(65_536),
        ..Limits::default()
    }
}

/// The demo model repeats itself without end more often than it comes to one.
fn shaper_config(args: &ServeArgs) -> plugins::Settings {
    let settings = args
        .model
        .is_none()
        .then(|| ("default_max_tokens".into(), 256.into()));
    settings.into_iter().collect()
}

fn served_names(args: &ServeArgs) -> Vec<String> {
    match (&args.served_model_name[..], &args.model) {
        ([], None) => vec!["demo".into()],
        ([], Some(path)) => vec![path.display().to_string()],
        (names, _) => names.to_vec(),
    }
}

fn announce(address: SocketAddr, model: &str, asks_for_key: bool) {
    let key = if asks_for_key {
        " -H 'authorization: Bearer YOUR_KEY'"
    } else {
        ""
    };
    println!("serving {model} at http://{address}/v1");
    let request = serde_json::json!({
        "model": model, "temperature": 0, "max_tokens": 64,
        "messages": [{"role": "user", "content": "Who wrote Romeo and Juliet?"}],
    });
    println!(
        "curl http://{address}/v1/chat/completions -H 'content-type: application/json'{key} -d '{request}'"
    );
}
