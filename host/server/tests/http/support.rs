//! A server on a free port, and ways to ask it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use artifact::Disk;
use deploy::{Quota, Store};
use engine::{
    EngineConfig, EngineHandle, ModelRunner, Overlap, RunnerLimits,
    fake::FakeRunner,
    runner::{RowOutcome, Step, StepError},
};
use futures_util::FutureExt;
use reqwest::{Response, StatusCode};
use sandbox::{
    AotCache, Capability, KeyValueStore, Limits, Loader, PluginError, PluginSet, PluginSpec,
    Sandbox,
};
use serde_json::{Value, json};
use server::{
    Admin, ApiKey, ApiKeys, App, ConnectionLimits, Functions, Listener, Model, SamplingDefaults,
    Settings, Tls,
};
use text::Tokenizer;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

/// The three components that a server is made of.
#[derive(Clone, Copy)]
pub(crate) struct Plugins {
    pub(crate) router: &'static str,
    pub(crate) shaper: &'static str,
    pub(crate) template: &'static str,
}

pub(crate) const SHIPPED: Plugins = Plugins {
    router: "openai-router",
    shaper: "request-shaper",
    template: "chat-template",
};

const QUOTA: Quota = Quota {
    max_functions: 8,
    max_versions: std::num::NonZeroUsize::new(3).unwrap(),
    max_bytes: 64 << 20,
};

/// What a test's server is like.
pub(crate) struct Setup {
    pub(crate) plugins: Plugins,
    pub(crate) names: &'static [&'static str],
    pub(crate) api_keys: &'static [&'static str],
    /// Keys with terms, besides those.
    pub(crate) keys: Vec<ApiKey>,
    pub(crate) engine: EngineConfig,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) max_model_len: usize,
    /// Where functions and pairs are kept.
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) allowed_origins: &'static str,
    pub(crate) connections: ConnectionLimits,
    /// Serves https and nothing else.
    pub(crate) tls: Option<Arc<Tls>>,
    /// How long requests that run get to end.
    pub(crate) drain: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        let engine = EngineConfig {
            max_num_seqs: 8,
            max_num_batched_tokens: 64,
            max_num_queued_reqs: 64,
            ..EngineConfig::default()
        };
        Self {
            plugins: SHIPPED,
            names: &["demo"],
            api_keys: &[],
            keys: Vec::new(),
            engine,
            request_timeout: None,
            max_model_len: 512,
            data_dir: None,
            allowed_origins: "*",
            connections: ConnectionLimits::default(),
            tls: None,
            drain: Duration::from_secs(20),
        }
    }
}

pub(crate) struct Server {
    pub(crate) url: String,
    /// Of the administrators' API, whose token is [`ADMIN_TOKEN`].
    pub(crate) admin_url: String,
    /// What the next reload loads.
    pub(crate) next_plugins: Arc<Mutex<Plugins>>,
    pub(crate) engine: EngineHandle,
    pub(crate) app: Arc<App>,
    pub(crate) client: reqwest::Client,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<bool>,
    administrating: JoinHandle<()>,
}

pub(crate) const ADMIN_TOKEN: &str = "the-admins-token";

/// What the stand-in model offers.
fn limits(tokenizer: &Tokenizer, max_model_len: usize) -> RunnerLimits {
    RunnerLimits {
        block_len: 16,
        num_blocks: max_model_len / 8,
        vocab_len: tokenizer.vocab_len(),
        hidden_len: 8,
        max_model_len,
    }
}

fn tokenizer() -> Tokenizer {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../text/tests/data/tokenizer.json"
    );
    Tokenizer::from_file(Path::new(path)).expect("the text crate's test tokenizer")
}

impl Server {
    pub(crate) async fn start(setup: Setup) -> Self {
        let runner = FakeRunner::new(limits(&tokenizer(), setup.max_model_len));
        Self::start_with(setup, runner).await
    }

    /// A server whose model takes one step per message of the test, and as many as it likes once the test hung up.
    pub(crate) async fn start_gated(setup: Setup) -> (mpsc::Sender<()>, Self) {
        let runner = FakeRunner::new(limits(&tokenizer(), setup.max_model_len));
        Self::start_gated_with(setup, runner).await
    }

    /// The same, but its model fails after `num_steps` steps: twice, as a step is tried again.
    pub(crate) async fn start_gated_failing(
        setup: Setup,
        num_steps: usize,
    ) -> (mpsc::Sender<()>, Self) {
        let failure = StepError::Failed("the device was lost".into());
        let failures =
            std::iter::repeat_n(None, num_steps).chain([failure.clone(), failure].map(Some));
        let limits = limits(&tokenizer(), setup.max_model_len);
        let runner = FakeRunner::new(limits).with_failures(failures);
        Self::start_gated_with(setup, runner).await
    }

    async fn start_gated_with(mut setup: Setup, inner: FakeRunner) -> (mpsc::Sender<()>, Self) {
        let (open, gate) = mpsc::channel();
        // Each step is read before the next one waits for the gate.
        setup.engine.overlap = Overlap::Off;
        let server = Self::start_with(setup, Gated { inner, gate }).await;
        (open, server)
    }

    async fn start_with(setup: Setup, runner: impl ModelRunner + 'static) -> Self {
        let short = Limits {
            cpu_budget: Duration::from_millis(200),
            wall_deadline: Duration::from_secs(20),
            max_output_bytes: 1 << 20,
            max_instances: 128,
            ..Limits::default()
        };
        let functions = Limits {
            cpu_budget: Duration::from_millis(500),
            wall_deadline: Duration::from_secs(20),
            max_instances: 128,
            ..Limits::for_functions()
        };
        let pairs = |data: &PathBuf| KeyValueStore::open(data.join("pairs"), 1 << 20).unwrap();
        let sandbox = Sandbox::new(short, functions, setup.data_dir.as_ref().map(pairs)).unwrap();
        let loader = loader(&sandbox);
        let plugins = load(&loader, &setup.plugins).await.unwrap();
        let store =
            |data: &PathBuf| Store::open(&data.join("functions"), Disk::new(), QUOTA).unwrap();
        let store = setup.data_dir.as_ref().map(store);
        let functions = Functions::open(loader.clone(), store, Vec::new()).await;
        let tokenizer = tokenizer();
        let end_of_turn = tokenizer.token_to_id("<|im_end|>");
        let model = Model {
            tokenizer,
            chat_template: None,
            bos_token: None,
            eos_token: None,
            end_tokens: end_of_turn.into_iter().collect(),
            sampling_defaults: SamplingDefaults {
                temperature: 1.0,
                top_p: 1.0,
                top_k: 0,
                min_p: 0.0,
            },
        };
        let (engine, _thread) = EngineHandle::start(runner, setup.engine);
        let bare = setup.api_keys.iter().map(|&key| key.to_owned());
        let keys = [ApiKey::of_secrets(bare), setup.keys].concat();
        let settings = Settings {
            api_keys: ApiKeys::of(keys).unwrap(),
            max_body_bytes: 1 << 20,
            request_timeout: setup.request_timeout,
            allowed_origins: setup.allowed_origins.parse().unwrap(),
            connections: setup.connections,
        };
        let names: Vec<String> = setup.names.iter().map(|&name| name.to_owned()).collect();
        let app = App::new(
            &names,
            "tests",
            model,
            plugins,
            functions,
            engine.clone(),
            settings,
        );
        let app = Arc::new(app);
        let admin_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin_url = format!("http://{}", admin_listener.local_addr().unwrap());
        let next_plugins = Arc::new(Mutex::new(setup.plugins));
        let reload = {
            let (loader, next) = (loader, next_plugins.clone());
            move || {
                let (loader, plugins) = (loader.clone(), *next.lock().unwrap());
                async move { load(&loader, &plugins).await.map_err(|e| e.to_string()) }.boxed()
            }
        };
        let admin = Admin::new(app.clone(), ADMIN_TOKEN.into(), Box::new(reload));
        let administrating = tokio::spawn(admin.serve(admin_listener));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (url, listener) = match setup.tls {
            Some(tls) => (
                format!("https://{address}"),
                Listener::with_tls(listener, tls),
            ),
            None => (format!("http://{address}"), listener.into()),
        };
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn({
            let app = app.clone();
            async move {
                let shutdown = async move { drop(stopped.await) };
                server::serve(listener, app, shutdown, setup.drain)
                    .await
                    .is_ok()
            }
        });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            url,
            admin_url,
            next_plugins,
            engine,
            app,
            client,
            stop,
            serving,
            administrating,
        }
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Response {
        self.client
            .post(format!("{}{path}", self.url))
            .body(body)
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn chat(&self, request: Value) -> Response {
        self.post("/v1/chat/completions", request.to_string()).await
    }

    pub(crate) async fn metrics(&self) -> String {
        let response = self
            .client
            .get(format!("{}/metrics", self.url))
            .send()
            .await
            .unwrap();
        response.text().await.unwrap()
    }

    /// A connection of its own, for what no well-behaved client sends.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.unwrap()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        self.url.split_once("://").unwrap().1.to_owned()
    }

    /// Stops the server as SIGTERM would; true if every request came to its end.
    pub(crate) async fn stop(self) -> bool {
        drop(self.client);
        self.administrating.abort();
        let _ = self.administrating.await;
        self.stop.send(()).unwrap();
        self.serving.await.unwrap()
    }

    /// A request that any server with the shipped router answers.
    pub(crate) async fn assert_serves(&self) {
        let response = self.chat(ask("demo", "are you well?")).await;
        assert_eq!(
            response.status(),
            StatusCode::OK,
            "{}",
            response.text().await.unwrap()
        );
    }
}

/// What a connection still says before the server closes it, in one way or the other. Fails if it never does.
pub(crate) async fn read_to_close(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let reading = stream.read_to_end(&mut said);
    // Closed with bytes of ours unread, it is reset; what came before counts.
    let _ = tokio::time::timeout(Duration::from_secs(20), reading)
        .await
        .expect("the server never closes");
    String::from_utf8_lossy(&said).into_owned()
}

struct Gated {
    inner: FakeRunner,
    gate: mpsc::Receiver<()>,
}

/// Waits for something that happens on another thread; fails if it never does.
pub(crate) async fn wait_until(condition: impl AsyncFn() -> bool) {
    let watching = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), watching)
        .await
        .expect("it never came true");
}

/// The steps of [`take_first_steps`].
pub(crate) const FIRST_STEPS: usize = 6;

/// Lets a gated runner take enough steps for the first visible text (a token may be half a character), and too few to end.
pub(crate) fn take_first_steps(open: &mpsc::Sender<()>) {
    (0..FIRST_STEPS).for_each(|_| open.send(()).unwrap());
}

impl ModelRunner for Gated {
    fn limits(&self) -> &RunnerLimits {
        self.inner.limits()
    }

    fn launch(&mut self, step: &Step<'_>) {
        let _ = self.gate.recv();
        self.inner.launch(step);
    }

    fn collect(&mut self) -> Result<Vec<RowOutcome>, StepError> {
        self.inner.collect()
    }
}

pub(crate) fn ask(model: &str, question: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": 12, "temperature": 0})
}

fn loader(sandbox: &Sandbox) -> Loader {
    let cache = AotCache::open(Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins")).unwrap();
    Loader::new(sandbox.clone(), Some(cache))
}

/// A built component.
pub(crate) fn wasm(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/../../plugins/dist/{name}.wasm",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(path).unwrap()
}

async fn load(loader: &Loader, plugins: &Plugins) -> Result<PluginSet, PluginError> {
    let spec = |name: &str| PluginSpec::named(name).granted([Capability::Log, Capability::Config]);
    let (router, shaper, template) = (plugins.router, plugins.shaper, plugins.template);
    Ok(PluginSet {
        router: loader.load_router(spec(router), wasm(router)).await?,
        shapers: vec![loader.load_shaper(spec(shaper), wasm(shaper)).await?],
        template: loader.load_template(spec(template), wasm(template)).await?,
    })
}
