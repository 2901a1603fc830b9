//! `host serve`.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use artifact::Disk;
use engine::{Caching, EngineConfig, EngineHandle, Event, Overlap, Request, Scheduling};
use model::cuda::Summary;
use sandbox::{AotCache, KeyValueStore, Limits, Loader, PluginSpec, Sandbox};
use server::{
    Admin, ApiKeys, App, BuiltinFunction, ConnectionLimits, Functions, Listener, Settings,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use crate::{
    args::{SchedulingPolicy, ServeArgs},
    builtin,
    keys::KeySource,
    plugins::{self, PluginFile},
    reload::Reloader,
    tls::TlsFiles,
    wire::{EngineThread, Loaded, StepLimits, num_constraint_threads},
};

/// The engine's thread ended by a fault of the model runner; only a new process can serve again.
#[derive(Debug, thiserror::Error)]
#[error("{0}; restart the process")]
pub(crate) struct EngineBroke(String);

/// What one server keeps of functions.
const FUNCTION_QUOTA: deploy::Quota = deploy::Quota {
    max_functions: 256,
    max_versions: std::num::NonZeroUsize::new(5).expect("five is not zero"),
    max_bytes: 4 << 30,
};

/// What shells expect of a process that Ctrl-C ended: 128 and the signal's number.
const EXIT_INTERRUPTED: i32 = 130;

/// Loads everything, says where it listens, and serves until SIGTERM or Ctrl-C.
pub(crate) async fn run(args: Box<ServeArgs>) -> Result<()> {
    let started = Instant::now();
    let args = Arc::<ServeArgs>::from(args);
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
    let admin_listener = listen_for_admins(&args).await?;
    let tls = match TlsFiles::of(&args.listen) {
        Some(files) => Some((files.clone(), Arc::new(files.load()?))),
        None => None,
    };
    let key_source = KeySource {
        secrets: args.listen.api_key.clone(),
        file: args.listen.api_keys.clone(),
    };
    let keys = key_source.load()?;
    let asks_for_key = !keys.is_empty();
    let api_keys = ApiKeys::of(keys).with_context(|| key_source.place())?;

    let sandbox = Sandbox::new(limits(&args), Limits::for_functions(), key_value(&args)?)?;
    let cache = AotCache::open(model::demo::cache_dir().join("plugins"))?;
    let loader = Loader::new(sandbox, Some(cache));
    let plugin_file = PluginFile {
        path: args.plugins.clone(),
        shaper_config: shaper_config(&args),
    };
    // Before anything is loaded: what changes meanwhile is loaded again.
    let watched = match args.watch_plugins {
        true => plugin_file.fingerprint(),
        false => None,
    };
    let load_model = tokio::task::spawn_blocking({
        let args = args.clone();
        move || {
            let (loaded, limits) = Loaded::open(&args.model)?;
            let served = loaded.served()?;
            anyhow::Ok((loaded, limits, served))
        }
    });
    let load_model = async { load_model.await.context("loading the model stopped")? };
    let load_plugins = async {
        let console = async { Ok(load_console(&args, &loader).await?) };
        let (plugins, console) = tokio::try_join!(plugin_file.load(&loader), console)?;
        let functions = Functions::open(loader.clone(), function_store(&args)?, console).await;
        anyhow::Ok((plugins, functions, started.elapsed()))
    };
    let ((loaded, limits, served), (plugins, functions, plugins_ready)) =
        tokio::try_join!(load_model, load_plugins)?;
    let settings_fit = api_keys.check_settings(&plugins);
    settings_fit.with_context(|| key_source.place())?;

    let names = served_names(&args);
    let root = loaded.path().display().to_string();
    if let Some(summary) = loaded.summary() {
        announce_gpu(summary, plugins_ready);
    }
    let config = engine_config(&args, limits, loaded.overlaps(), root.clone());
    let (engine, engine_thread) = loaded.start(config);
    first_token(&engine).await?;
    eprintln!("first token after {:.2} s", started.elapsed().as_secs_f64());
    let settings = Settings {
        api_keys,
        max_body_bytes: args.max_body_bytes,
        request_timeout: args.request_timeout.map(|s| Duration::from_secs(s.get())),
        allowed_origins: args.listen.allowed_origins.clone(),
        connections: ConnectionLimits {
            max_connections: args.listen.max_connections.get(),
            ..ConnectionLimits::default()
        },
    };
    let app = App::new(&names, &root, served, plugins, functions, engine, settings);
    let app = Arc::new(app);
    let reloader = Reloader::new(app.clone(), loader, plugin_file, key_source, tls.clone());
    reloader.start(watched)?;

    let (scheme, listener) = match tls {
        Some((_, tls)) => ("https", Listener::with_tls(listener, tls)),
        None => ("http", Listener::from(listener)),
    };
    announce(scheme, address, &names[0], asks_for_key);
    if let (Some(listener), Some(token)) = (admin_listener, &args.admin_token) {
        eprintln!("administrators' API at http://{}", listener.local_addr()?);
        let load = move || reloader.load();
        let admin = Admin::new(app.clone(), token.clone(), Box::new(load));
        tokio::spawn(admin.serve(listener));
    }
    let drain = Duration::from_secs(args.shutdown_timeout);
    serve_until_told(listener, app, engine_thread, drain).await
}

/// The administrators' listener, if there is a token for it.
async fn listen_for_admins(args: &ServeArgs) -> Result<Option<TcpListener>> {
    let Some(token) = &args.admin_token else {
        return Ok(None);
    };
    anyhow::ensure!(
        !token.is_empty(),
        "--admin-token is empty, which would let everyone administrate: give a secret, or leave it out"
    );
    let asked = SocketAddr::new(args.admin_host, args.admin_port);
    let listener = TcpListener::bind(asked)
        .await
        .with_context(|| format!("cannot listen on {asked} for administrators (--admin-port)"))?;
    Ok(Some(listener))
}

/// Where plugins keep their pairs.
fn key_value(args: &ServeArgs) -> Result<Option<KeyValueStore>> {
    let Some(data) = &args.data_dir else {
        return Ok(None);
    };
    let quota_bytes = args.key_value_quota_mib.saturating_mul(1 << 20);
    Ok(Some(KeyValueStore::open(
        data.join("key-value"),
        quota_bytes,
    )?))
}

/// What is deployed.
fn function_store(args: &ServeArgs) -> Result<Option<deploy::Store>> {
    let Some(data) = &args.data_dir else {
        return Ok(None);
    };
    let store = deploy::Store::open(&data.join("functions"), Disk::new(), FUNCTION_QUOTA)?;
    Ok(Some(store))
}

/// The web page, which is a function like any other.
async fn load_console(
    args: &ServeArgs,
    loader: &Loader,
) -> Result<Vec<BuiltinFunction>, sandbox::PluginError> {
    if args.no_console {
        return Ok(Vec::new());
    }
    let console = &builtin::CONSOLE;
    let spec = PluginSpec::named(console.name).granted(console.grants.iter().copied());
    let function = loader.load_function(spec, console.wasm.to_vec()).await?;
    Ok(vec![BuiltinFunction {
        name: console.name,
        paths: &["/", "/console/*"],
        function,
    }])
}

/// Serves until SIGTERM, Ctrl-C or the end of the engine.
async fn serve_until_told(
    listener: impl Into<Listener>,
    app: Arc<App>,
    engine_thread: EngineThread,
    drain: Duration,
) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (engine_ended, ended) = oneshot::channel();
    std::thread::spawn(move || engine_ended.send(engine_thread.join()));
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
    if server::serve(listener, app, shutdown, drain).await.is_err() {
        eprintln!("host: some requests were still running after {drain:?} and were cut off");
    }
    match broke {
        None => Ok(()),
        Some(Ok(Ok(Err(fault)))) => Err(EngineBroke(fault.to_string()).into()),
        Some(_) => Err(EngineBroke("the engine's thread panicked".into()).into()),
    }
}

fn engine_config(
    args: &ServeArgs,
    limits: StepLimits,
    overlaps: Overlap,
    model: String,
) -> EngineConfig {
    EngineConfig {
        max_num_seqs: limits.max_num_seqs,
        max_num_batched_tokens: limits.max_num_batched_tokens,
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
            Some(false) => Overlap::Off,
            None => overlaps,
        },
        num_draft_tokens: args.speculative.unwrap_or(0),
        num_constraint_threads: num_constraint_threads(),
        model,
    }
}

/// Generates a token, so that the first request does not wait for what a library or the driver puts off to its first use, and a
/// model that cannot compute is known before clients come.
async fn first_token(engine: &EngineHandle) -> Result<()> {
    let request = Request {
        prompt: vec![0],
        max_tokens: 1,
        ..Request::default()
    };
    let mut generation = engine
        .submit(request, 1)
        .context("cannot generate a first token")?
        .remove(0);
    let mut events = Vec::new();
    while generation.next(&mut events).await {}
    for event in events {
        if let Event::Failed(error) = event {
            return Err(anyhow::Error::from(error).context("cannot generate a first token"));
        }
    }
    Ok(())
}

/// What is where, and what took how long.
fn announce_gpu(summary: &Summary, plugins_ready: Duration) {
    eprintln!("{}: {}", summary.device, summary.memory);
    let phases = summary
        .phases
        .iter()
        .map(|(phase, took)| format!("{phase} {:.2} s", took.as_secs_f64()));
    eprintln!(
        "plugins {:.2} s (beside the rest), {}",
        plugins_ready.as_secs_f64(),
        phases.collect::<Vec<_>>().join(", ")
    );
}

/// A router's and a template's instance live as long as their request, and shapers come and go.
fn limits(args: &ServeArgs) -> Limits {
    // The greater of the defaults: an instance more costs nothing before it is used.
    let max_num_seqs = args.model.max_num_seqs.map_or(256, usize::from);
    let requests = max_num_seqs + args.max_num_queued_reqs;
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
        .model
        .is_none()
        .then(|| ("default_max_tokens".into(), 256.into()));
    settings.into_iter().collect()
}

fn served_names(args: &ServeArgs) -> Vec<String> {
    match (&args.served_model_name[..], &args.model.model) {
        ([], None) => vec!["demo".into()],
        ([], Some(path)) => vec![path.display().to_string()],
        (names, _) => names.to_vec(),
    }
}

fn announce(scheme: &str, address: SocketAddr, model: &str, asks_for_key: bool) {
    let key = if asks_for_key {
        " -H 'authorization: Bearer YOUR_KEY'"
    } else {
        ""
    };
    println!("serving {model} at {scheme}://{address}/v1");
    let request = serde_json::json!({
        "model": model, "temperature": 0, "max_tokens": 64,
        "messages": [{"role": "user", "content": "Who wrote Romeo and Juliet?"}],
    });
    println!(
        "curl {scheme}://{address}/v1/chat/completions -H 'content-type: application/json'{key} -d '{request}'"
    );
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use engine::{RunnerLimits, fake::FakeRunner, runner::StepError};
    use server::{Model, SamplingDefaults};
    use text::Tokenizer;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    /// A server on the built-in plugins whose model breaks at its first step.
    async fn broken_app() -> (App, EngineThread) {
        let tokenizer =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../text/tests/data/tokenizer.json");
        let tokenizer = Tokenizer::from_file(&tokenizer).unwrap();
        let limits = RunnerLimits {
            block_len: 16,
            num_blocks: 8,
            vocab_len: tokenizer.vocab_len(),
            hidden_len: 8,
            max_model_len: 128,
        };
        let gone = StepError::Fatal("the device is gone".into());
        let runner = FakeRunner::new(limits).with_failures([Some(gone)]);
        let (engine, engine_thread) = EngineHandle::start(runner, EngineConfig::default());
        let few = Limits {
            max_instances: 16,
            ..Limits::default()
        };
        let functions = Limits {
            max_instances: 1,
            ..Limits::for_functions()
        };
        let sandbox = Sandbox::new(few, functions, None).unwrap();
        let loader = Loader::new(sandbox.clone(), None);
        let file = PluginFile {
            path: None,
            shaper_config: plugins::Settings::new(),
        };
        let plugins = file.load(&loader).await.unwrap();
        let functions = Functions::open(loader, None, Vec::new()).await;
        let model = Model {
            tokenizer,
            chat_template: None,
            bos_token: None,
            eos_token: None,
            end_tokens: vec![],
            sampling_defaults: SamplingDefaults {
                temperature: 1.0,
                top_p: 1.0,
                top_k: 0,
                min_p: 0.0,
            },
        };
        let settings = Settings {
            api_keys: ApiKeys::new([]),
            max_body_bytes: 1 << 20,
            request_timeout: None,
            ..Settings::default()
        };
        let names = ["demo".to_owned()];
        let app = App::new(&names, "tests", model, plugins, functions, engine, settings);
        (app, engine_thread)
    }

    #[tokio::test]
    async fn a_broken_runner_fails_what_runs_with_503_and_ends_the_process_with_a_code_of_its_own()
    {
        let (app, engine_thread) = broken_app().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let drain = Duration::from_secs(20);
        let serving = tokio::spawn(serve_until_told(
            listener,
            Arc::new(app),
            engine_thread,
            drain,
        ));
        let body = r#"{"model":"demo","prompt":"hello","max_tokens":4}"#;
        let head = "POST /v1/completions HTTP/1.1\r\nhost: host\r\nconnection: close";
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        client.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        client.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 503"), "{response}");
        assert!(response.contains("the engine stopped"), "{response}");
        let error = serving.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("the device is gone"), "{error}");
        assert_eq!(crate::exit_code(&error), std::process::ExitCode::from(70));
    }
}
