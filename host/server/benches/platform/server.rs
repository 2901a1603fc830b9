//! A server in this process, on loopback, with the shipped plugins, a model that computes next to nothing, and functions.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use artifact::{Digest, Disk};
use deploy::{Quota, Store};
use engine::{EngineConfig, EngineHandle, ModelRunner, RunnerLimits, fake::FakeRunner};
use futures_util::FutureExt;
use reqwest::Method;
use sandbox::{
    AotCache, Capability, KeyValueStore, Limits, Loader, PluginSet, PluginSpec, Sandbox,
};
use serde_json::{Value, json};
use server::{Admin, ApiKeys, App, Functions, Model, SamplingDefaults, Settings};
use text::Tokenizer;
use tokio::{net::TcpListener, runtime::Runtime};

const ADMIN_TOKEN: &str = "the-admins-token";

const QUOTA: Quota = Quota {
    max_functions: 8,
    max_versions: std::num::NonZeroUsize::new(5).unwrap(),
    max_bytes: 64 << 20,
};

/// A server that serves until its runtime ends. What it keeps is on the disk that the build is on.
pub(crate) struct Server {
    /// `IP:PORT`
    pub(crate) address: String,
    admin_url: String,
    pub(crate) client: reqwest::Client,
    _data: tempfile::TempDir,
}

/// As many threads as the command line's server has.
pub(crate) fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().expect("threads can be made")
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(EngineConfig::default(), |runner| runner).await
    }

    /// A server whose engine is set up so, and whose model is what becomes of the stand-in.
    pub(crate) async fn start_with<R: ModelRunner + 'static>(
        engine: EngineConfig,
        model_of: impl FnOnce(FakeRunner) -> R,
    ) -> Self {
        let limits = Limits {
            max_instances: 2 * (engine.max_num_seqs + engine.max_num_queued_reqs) as u32 + 64,
            ..Limits::default()
        };
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the folder is ours");
        let pairs = KeyValueStore::open(data.path().join("pairs"), 64 << 20).expect("it is empty");
        let sandbox = Sandbox::new(limits, Limits::for_functions(), Some(pairs))
            .expect("the default limits fit");
        let loader = Loader::new(sandbox, Some(code_cache()));
        let plugins = load_plugins(&loader).await;
        let store = Store::open(&data.path().join("functions"), Disk::new(), QUOTA);
        let store = store.expect("it is empty");
        let functions = Functions::open(loader, Some(store), Vec::new()).await;
        let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR"));
        let tokenizer = tokenizer.join("../text/tests/data/tokenizer.json");
        let tokenizer = Tokenizer::from_file(&tokenizer).expect("the text crate's tokenizer");
        let runner = FakeRunner::new(RunnerLimits {
            block_len: 16,
            num_blocks: 4096,
            vocab_len: tokenizer.vocab_len(),
            hidden_len: 8,
            max_model_len: 512,
        });
        let (engine, _thread) = EngineHandle::start(model_of(runner), engine);
        let model = Model {
            end_tokens: Vec::new(),
            tokenizer,
            chat_template: None,
            bos_token: None,
            eos_token: None,
            sampling_defaults: SamplingDefaults {
                temperature: 1.0,
                top_p: 1.0,
                top_k: 0,
                min_p: 0.0,
            },
        };
        let settings = Settings {
            api_keys: ApiKeys::new([]),
            max_body_bytes: 8 << 20,
            request_timeout: None,
            ..Settings::default()
        };
        let names = ["demo".to_owned()];
        let app = App::new(&names, "bench", model, plugins, functions, engine, settings);
        let app = Arc::new(app);
        let (admin_listener, admin_address) = listen().await;
        let no_reload = || async { Err("a benchmark reloads nothing".to_owned()) }.boxed();
        let admin = Admin::new(app.clone(), ADMIN_TOKEN.into(), Box::new(no_reload));
        tokio::spawn(admin.serve(admin_listener));
        let (listener, address) = listen().await;
        let never = std::future::pending();
        tokio::spawn(server::serve(listener, app, never, Duration::ZERO));
        let client = reqwest::Client::builder().no_proxy().build();
        Self {
            address,
            admin_url: format!("http://{admin_address}"),
            client: client.expect("the defaults fit"),
            _data: data,
        }
    }

    /// Asks the administrators' API; the JSON of its answer, which must be a success.
    pub(crate) async fn admin(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> Value {
        let request = self
            .client
            .request(method, format!("{}{path}", self.admin_url));
        let request = request.bearer_auth(ADMIN_TOKEN).body(body);
        let response = request.send().await.expect("the server is there");
        let status = response.status();
        let answer: Value = response.json().await.expect("it answers in JSON");
        assert!(status.is_success(), "{path}: {answer}");
        answer
    }

    /// Uploads a built component; its digest.
    pub(crate) async fn upload(&self, component: &str) -> Digest {
        let wasm = wasm(component);
        let digest = Digest::of(&wasm);
        let path = format!("/v1/components/{digest}");
        self.admin(Method::PUT, &path, wasm).await;
        digest
    }

    /// Deploys a component under `/fn/NAME/*` for everyone, on these terms.
    pub(crate) async fn deploy(&self, name: &str, component: Digest, terms: Value) -> Value {
        let route = format!("/fn/{name}/*");
        let mut order = json!({"component": component, "route": route, "access": "public"});
        if let (Value::Object(order), Value::Object(terms)) = (&mut order, terms) {
            order.extend(terms);
        }
        let path = format!("/v1/functions/{name}/versions");
        self.admin(Method::POST, &path, order.to_string()).await
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback has a free port");
    let address = listener.local_addr().expect("it listens");
    (listener, address.to_string())
}

/// The three plugins that a server is made of.
pub(crate) async fn load_plugins(loader: &Loader) -> PluginSet {
    let spec = |name| PluginSpec::named(name).granted([Capability::Log, Capability::Config]);
    let [router, shaper, template] = ["openai-router", "request-shaper", "chat-template"];
    let router = loader.load_router(spec(router), wasm(router)).await;
    let shaper = loader.load_shaper(spec(shaper), wasm(shaper)).await;
    let template = loader.load_template(spec(template), wasm(template)).await;
    PluginSet {
        router: router.expect("it is built"),
        shapers: vec![shaper.expect("it is built")],
        template: template.expect("it is built"),
    }
}

/// Compiled code, kept from one run to the next.
pub(crate) fn code_cache() -> AotCache {
    AotCache::open(code_folder()).expect("the folder is ours")
}

pub(crate) fn code_folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-plugins")
}

/// A built component.
pub(crate) fn wasm(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = path.join(format!("../../plugins/dist/{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
