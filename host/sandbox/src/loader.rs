//! From bytes to a plugin that can be called: compile or take from the cache, check, link, try out.

mod cache;
mod contract;

use std::sync::Arc;

use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use crate::bindings::{config, log};
use crate::error::{Fault, Phase, PluginError};
use crate::guest::Guest;
use crate::plugin::{Grants, Loaded, Origin, Plugin, PluginInfo, PluginSpec, Role};
use crate::router::Router;
use crate::sandbox::Sandbox;
use crate::shaper::Shaper;
use crate::template::Template;
pub use cache::AotCache;

/// Loads plugins into a sandbox. Cheap to clone.
#[derive(Clone)]
pub struct Loader {
    sandbox: Sandbox,
    cache: Option<Arc<AotCache>>,
}

impl Loader {
    /// Without a cache every load compiles: about 2 s for 700 KB of WebAssembly.
    pub fn new(sandbox: Sandbox, cache: Option<AotCache>) -> Loader {
        Loader {
            sandbox,
            cache: cache.map(Arc::new),
        }
    }

    /// The sandbox that plugins are loaded into.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Loads a component, finds out its role, and starts an instance of it once, so that what does not run never serves.
    /// Compiling happens on a blocking thread of the runtime.
    pub async fn load(&self, spec: PluginSpec, wasm: Vec<u8>) -> Result<Plugin, PluginError> {
        let name = spec.name.clone();
        let counters = self.sandbox.counters(&name);
        let started = std::time::Instant::now();
        let this = self.clone();
        let linked = tokio::task::spawn_blocking(move || this.link(spec, &wasm)).await;
        counters.called(Phase::Load, started.elapsed());
        // The task can only fail by a panic of the compiler, or when the runtime shuts down.
        let linked = linked.unwrap_or_else(|e| Err(format!("the compiler did not finish ({e})")));
        let (pre, plugin) = linked.map_err(|why| {
            let fault = Fault::Load(why);
            counters.failed(&fault);
            PluginError {
                plugin: name,
                phase: Phase::Load,
                fault,
            }
        })?;
        match plugin.info.role {
            Role::Router => Ok(Plugin::Router(Router::new(pre, plugin).await?)),
            Role::Shaper => Ok(Plugin::Shaper(Shaper::new(pre, plugin).await?)),
            Role::Template => Ok(Plugin::Template(Template::new(pre, plugin).await?)),
        }
    }

    /// Loads a component that must be a router.
    pub async fn load_router(
        &self,
        spec: PluginSpec,
        wasm: Vec<u8>,
    ) -> Result<Router, PluginError> {
        match self.load(spec, wasm).await? {
            Plugin::Router(router) => Ok(router),
            other => Err(self.mismatch(other.info(), Role::Router)),
        }
    }

    /// Loads a component that must be a shaper.
    pub async fn load_shaper(
        &self,
        spec: PluginSpec,
        wasm: Vec<u8>,
    ) -> Result<Shaper, PluginError> {
        match self.load(spec, wasm).await? {
            Plugin::Shaper(shaper) => Ok(shaper),
            other => Err(self.mismatch(other.info(), Role::Shaper)),
        }
    }

    /// Loads a component that must be a chat template.
    pub async fn load_template(
        &self,
        spec: PluginSpec,
        wasm: Vec<u8>,
    ) -> Result<Template, PluginError> {
        match self.load(spec, wasm).await? {
            Plugin::Template(template) => Ok(template),
            other => Err(self.mismatch(other.info(), Role::Template)),
        }
    }

    fn mismatch(&self, info: &PluginInfo, wanted: Role) -> PluginError {
        let fault = Fault::Load(format!(
            "it is a {}, and a {wanted} is wanted in its place",
            info.role
        ));
        self.sandbox.counters(&info.name).failed(&fault);
        PluginError {
            plugin: info.name.clone(),
            phase: Phase::Load,
            fault,
        }
    }

    fn link(
        &self,
        spec: PluginSpec,
        wasm: &[u8],
    ) -> Result<(InstancePre<Guest>, Arc<Loaded>), String> {
        let engine = self.sandbox.engine();
        let sha256 = cache::sha256_hex(wasm);
        let compile = || Component::new(engine, wasm);
        let (component, origin) = match &self.cache {
            Some(cache) => cache.load_or_compile(engine, &sha256, compile),
            None => compile().map(|component| (component, Origin::Compiled)),
        }
        .map_err(|e| format!("it is not a component that can be compiled: {e:#}"))?;
        let role = contract::role(&component, engine)?;
        contract::check_imports(&component, engine, spec.grants)?;
        let linker = linker(engine, spec.grants)
            .map_err(|e| format!("the host's interfaces clash: {e:#}"))?;
        let pre = linker.instantiate_pre(&component).map_err(|e| {
            format!("its imports do not fit the host's: {e:#}; rebuild it with the WIT package of this host")
        })?;
        let counters = self.sandbox.counters(&spec.name);
        let info = PluginInfo {
            name: spec.name,
            role,
            sha256,
            origin,
            grants: spec.grants,
        };
        let config_json = serde_json::Value::Object(spec.config).to_string();
        Ok((
            pre,
            Arc::new(Loaded {
                info,
                config_json,
                counters,
                sandbox: self.sandbox.clone(),
            }),
        ))
    }
}

/// What is not granted is not linked. Interfaces that only name types need no definition.
fn linker(engine: &wasmtime::Engine, grants: Grants) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    if grants.log {
        log::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    }
    if grants.config {
        config::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    }
    Ok(linker)
}
