//! What every request shares.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::available_parallelism,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use engine::EngineHandle;
use sandbox::{ModelCard, ModelTemplate, PluginSet, Registry, Sandbox};
use text::{Grammars, Tokenizer};
use tokio::sync::Semaphore;

use crate::{
    auth::{ApiKey, ApiKeys, KeysError, check_settings},
    cors::AllowedOrigins,
    functions::Functions,
    listen::ConnectionLimits,
    metrics::Metrics,
    sampling::SamplingDefaults,
};

/// The served model, as far as requests need to know it.
pub struct Model {
    /// The model's own tokenizer.
    pub tokenizer: Tokenizer,
    /// Its Jinja template and the special tokens that templates name. `now` is filled in per request.
    pub chat_template: Option<String>,
    /// Text of the token that begins a sequence.
    pub bos_token: Option<String>,
    /// Text of the token that ends a turn.
    pub eos_token: Option<String>,
    /// The tokens that end an answer.
    pub end_tokens: Vec<u32>,
    /// What holds where a request says nothing.
    pub sampling_defaults: SamplingDefaults,
}

/// What an operator sets.
pub struct Settings {
    /// The keys that clients must show; none lets everyone in.
    pub api_keys: ApiKeys,
    /// The largest request body, in bytes.
    pub max_body_bytes: usize,
    /// How long a request may take before it is given up; `None`: as long as it likes.
    pub request_timeout: Option<Duration>,
    /// Whose pages may read the answers.
    pub allowed_origins: AllowedOrigins,
    /// What connections are held to.
    pub connections: ConnectionLimits,
}

/// Everyone is let in, with bodies of up to 8 MiB.
impl Default for Settings {
    fn default() -> Self {
        Self {
            api_keys: ApiKeys::new([]),
            max_body_bytes: 8 << 20,
            request_timeout: None,
            allowed_origins: AllowedOrigins::default(),
            connections: ConnectionLimits::default(),
        }
    }
}

/// The running server: plugins, model, engine.
pub struct App {
    pub(crate) models: Vec<ModelCard>,
    pub(crate) model: Model,
    pub(crate) plugins: Registry,
    pub(crate) functions: Functions,
    pub(crate) sandbox: Sandbox,
    pub(crate) engine: EngineHandle,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    grammars: OnceLock<Grammars>,
    /// Who may compile a form now: it keeps a core busy, and others' tokens need those too.
    pub(crate) compilers: Arc<Semaphore>,
    /// Held while plugins or keys are replaced, which must fit each other.
    replacing: Mutex<()>,
    draining: AtomicBool,
}

impl App {
    /// `names` are the served names of the model, the first being the default; `root` is where the model came from; the
    /// plugins are loaded into the sandbox of the functions.
    ///
    /// # Panics
    /// If there is no name, which the caller has checked.
    pub fn new(
        names: &[String],
        root: &str,
        model: Model,
        plugins: PluginSet,
        functions: Functions,
        engine: EngineHandle,
        settings: Settings,
    ) -> Self {
        assert!(
            !names.is_empty(),
            "a server serves its model under at least one name"
        );
        let card = |name: &String| ModelCard {
            id: name.clone(),
            created: unix_seconds(),
            max_model_len: engine.limits().max_sequence_len() as u32,
            embedding_len: Some(engine.limits().hidden_len as u32),
            root: root.to_owned(),
        };
        let num_compilers = available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        let models = names.iter().map(card).collect();
        let plugins = Registry::new(plugins);
        let metrics = Metrics::new(engine.limits().max_sequence_len());
        Self {
            models,
            model,
            plugins,
            sandbox: functions.sandbox().clone(),
            functions,
            engine,
            settings,
            metrics,
            grammars: OnceLock::new(),
            compilers: Arc::new(Semaphore::new(num_compilers)),
            replacing: Mutex::default(),
            draining: AtomicBool::new(false),
        }
    }

    /// What forms of answers are compiled with: made when one is first asked for, so that no start waits for it.
    pub(crate) fn grammars(&self) -> Result<&Grammars, text::Error> {
        if let Some(grammars) = self.grammars.get() {
            return Ok(grammars);
        }
        let Model {
            tokenizer,
            end_tokens,
            ..
        } = &self.model;
        let grammars = Grammars::new(tokenizer, end_tokens, self.engine.limits().vocab_len)?;
        Ok(self.grammars.get_or_init(|| grammars))
    }

    /// Lets other plugins serve the requests that come from now on; those that run keep the ones that they began with. The number
    /// of the new set, or why it cannot be let in.
    pub fn swap_plugins(&self, plugins: PluginSet) -> Result<u64, String> {
        if let Some(route) = self.functions.takes(plugins.router.routes()) {
            return Err(format!(
                "the new router answers {route}, which is a function's: remove the function first"
            ));
        }
        let _replacing = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let keys = &self.settings.api_keys;
        keys.check_settings(&plugins).map_err(|e| e.to_string())?;
        Ok(self.plugins.swap(plugins))
    }

    /// Lets these keys in from now on and no others, unless two cannot be told apart or one has settings that the shapers do not
    /// take; then those stay that there are. A key that stays by its name keeps what it has used.
    pub fn swap_keys(&self, keys: Vec<ApiKey>) -> Result<(), KeysError> {
        let _replacing = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let current = self.plugins.current();
        keys.iter()
            .try_for_each(|key| check_settings(key, &current.plugins))?;
        self.settings.api_keys.replace(keys)
    }

    /// From now on `/ready` says no, so that a load balancer sends nothing more.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn model_template(&self, model: &str) -> ModelTemplate {
        ModelTemplate {
            model: model.to_owned(),
            chat_template: self.model.chat_template.clone(),
            bos_token: self.model.bos_token.clone(),
            eos_token: self.model.eos_token.clone(),
            now: unix_seconds(),
        }
    }
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}
