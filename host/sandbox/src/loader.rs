//! From bytes to a plugin that can be called: compile or take from the cache, check, link, try out.

mod cache;
mod contract;

use std::sync::Arc;
use std::time::Instant;

use artifact::{Capability, Digest, Manifest, Role};
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use crate::bindings::{clock, config, key_value, log, random};
use crate::error::{Fault, Phase, PluginError};
use crate::function::{self, Function, FunctionGuest};
use crate::guest::Guest;
use crate::limits::Limits;
use crate::plugin::{Loaded, Origin, Plugin, PluginInfo, PluginLimits, PluginSpec};
use crate::router::Router;
use crate::sandbox::Sandbox;
use crate::shaper::Shaper;
use crate::template::Template;
pub use cache::AotCache;
pub(crate) use contract::WasiHttp;
use contract::World;

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
        self.load_as(None, spec, wasm).await
    }

    async fn load_as(
        &self,
        wanted: Option<Role>,
        spec: PluginSpec,
        wasm: Vec<u8>,
    ) -> Result<Plugin, PluginError> {
        let name = spec.name.clone();
        let counters = self.sandbox.records(&name).counters;
        let started = Instant::now();
        let this = self.clone();
        let linked = tokio::task::spawn_blocking(move || this.link(wanted, spec, &wasm)).await;
        counters.called(Phase::Load, started.elapsed());
        // The task can only fail by a panic of the compiler, or when the runtime shuts down.
        let linked = linked.unwrap_or_else(|e| Err(format!("the compiler did not finish ({e})")));
        let linked = linked.map_err(|why| {
            let fault = Fault::Load(why);
            counters.failed(&fault);
            PluginError {
                plugin: name,
                phase: Phase::Load,
                fault,
                backtrace: None,
            }
        })?;
        Ok(match linked {
            Linked::Router(pre, plugin) => Plugin::Router(Router::new(pre, plugin).await?),
            Linked::Shaper(pre, plugin) => Plugin::Shaper(Shaper::new(pre, plugin).await?),
            Linked::Template(pre, plugin) => Plugin::Template(Template::new(pre, plugin).await?),
            Linked::Function(pre, version, plugin) => {
                Plugin::Function(Function::new(pre, version, plugin).await?)
            }
        })
    }

    /// Loads a component that must be a router.
    pub async fn load_router(
        &self,
        spec: PluginSpec,
        wasm: Vec<u8>,
    ) -> Result<Router, PluginError> {
        match self.load_as(Some(Role::Router), spec, wasm).await? {
            Plugin::Router(router) => Ok(router),
            _ => unreachable!("another role was refused"),
        }
    }

    /// Loads a component that must be a shaper.
    pub async fn load_shaper(
        &self,
        spec: PluginSpec,
        wasm: Vec<u8>,
    ) -> Result<Shaper, PluginError> {
        match self.load_as(Some(Role::Shaper), spec, wasm).await? {
            Plugin::Shaper(shaper) => Ok(shaper),
            _ => unreachable!("another role was refused"),
        }
    }

    /// Loads a component that must be a chat template.
    pub async fn load_template(
        &self,
        spec: PluginSpec,
        wasm: Vec<u8>,
    ) -> Result<Template, PluginError> {
        match self.load_as(Some(Role::ChatTemplate), spec, wasm).await? {
            Plugin::Template(template) => Ok(template),
            _ => unreachable!("another role was refused"),
        }
    }

    /// Loads a component that must be a function.
    pub async fn load_function(
        &self,
        spec: PluginSpec,
        wasm: Vec<u8>,
    ) -> Result<Function, PluginError> {
        match self.load_as(Some(Role::Function), spec, wasm).await? {
            Plugin::Function(function) => Ok(function),
            _ => unreachable!("another role was refused"),
        }
    }

    fn link(&self, wanted: Option<Role>, spec: PluginSpec, wasm: &[u8]) -> Result<Linked, String> {
        let manifest = Manifest::of_component(wasm).map_err(|e| e.to_string())?;
        // Which engine it is for is known from its exports, and those from it being compiled.
        let role = match &manifest {
            Some(manifest) => manifest.role,
            None => artifact::inspect(wasm).map_err(|e| e.to_string())?.role,
        };
        if let Some(wanted) = wanted
            && wanted != role
        {
            return Err(format!(
                "it is a {role}, and a {wanted} is wanted in its place"
            ));
        }
        let digest = Digest::of(wasm);
        let (component, origin) = self.compile(role, wasm, &digest)?;
        let engine = self.sandbox.engine(role);
        let world = contract::world(&component, engine)?;
        if world.role() != role {
            return Err(format!(
                "its plugin.toml says that it is a {role}, and it is a {}",
                world.role()
            ));
        }
        contract::check_imports(&component, engine, role, &spec.grants, manifest.as_ref())?;
        if let Some(manifest) = &manifest {
            manifest
                .check_config(&spec.config)
                .map_err(|e| e.to_string())?;
        }
        let asked = manifest
            .as_ref()
            .map_or(PluginLimits::default(), asked_limits);
        let limits = limits(self.sandbox.limits(role), asked, spec.limits)?;
        let pairs = match spec.grants.contains(&Capability::KeyValue) {
            true => Some(self.pairs(role, &spec.name)?),
            false => None,
        };
        let records = self.sandbox.records(&spec.name);
        let info = PluginInfo {
            name: spec.name,
            role,
            version: manifest
                .as_ref()
                .map(|manifest| manifest.version.to_string()),
            digest,
            origin,
            grants: spec.grants,
        };
        let loaded = Arc::new(Loaded {
            info,
            manifest: manifest.map(Arc::new),
            config_json: serde_json::Value::Object(spec.config.clone()).to_string(),
            config: spec.config,
            limits,
            hosts: spec.hosts,
            counters: records.counters,
            logs: records.logs,
            pairs,
            sandbox: self.sandbox.clone(),
        });
        Linked::new(world, engine, &component, loaded)
    }

    fn compile(
        &self,
        role: Role,
        wasm: &[u8],
        digest: &Digest,
    ) -> Result<(Component, Origin), String> {
        let engine = self.sandbox.engine(role);
        let compile = || Component::new(engine, wasm);
        match &self.cache {
            Some(cache) => cache.load_or_compile(engine, &digest.hex(), compile),
            None => compile().map(|component| (component, Origin::Compiled)),
        }
        .map_err(|e| format!("it is not a component that can be compiled: {e:#}"))
    }

    fn pairs(&self, role: Role, name: &str) -> Result<Arc<crate::key_value::Pairs>, String> {
        match self.sandbox.key_value() {
            Some(store) => store.pairs(role, name),
            None => Err("it was granted `key-value`, and this host keeps no pairs".into()),
        }
    }
}

/// A component whose imports are bound, not yet seen running.
enum Linked {
    Router(InstancePre<Guest>, Arc<Loaded>),
    Shaper(InstancePre<Guest>, Arc<Loaded>),
    Template(InstancePre<Guest>, Arc<Loaded>),
    Function(InstancePre<FunctionGuest>, WasiHttp, Arc<Loaded>),
}

impl Linked {
    fn new(
        world: World,
        engine: &wasmtime::Engine,
        component: &Component,
        plugin: Arc<Loaded>,
    ) -> Result<Linked, String> {
        let misfit = |e: wasmtime::Error| {
            format!(
                "its imports do not fit the host's: {e:#}; rebuild it with the WIT package of this host"
            )
        };
        if let World::Function(version) = world {
            let mut linker = Linker::new(engine);
            function::add_to_linker(&mut linker).map_err(misfit)?;
            let pre = linker.instantiate_pre(component).map_err(misfit)?;
            return Ok(Linked::Function(pre, version, plugin));
        }
        let linker = linker(engine).map_err(misfit)?;
        let pre = linker.instantiate_pre(component).map_err(misfit)?;
        Ok(match world {
            World::Router => Linked::Router(pre, plugin),
            World::Shaper => Linked::Shaper(pre, plugin),
            World::ChatTemplate | World::Function(_) => Linked::Template(pre, plugin),
        })
    }
}

/// What plugins in the path of a request can be granted. Whether this one was is checked before, by name.
fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    type Own = HasSelf<Guest>;
    let mut linker = Linker::new(engine);
    log::add_to_linker::<_, Own>(&mut linker, |guest| guest)?;
    config::add_to_linker::<_, Own>(&mut linker, |guest| guest)?;
    clock::add_to_linker::<_, Own>(&mut linker, |guest| guest)?;
    random::add_to_linker::<_, Own>(&mut linker, |guest| guest)?;
    key_value::add_to_linker::<_, Own>(&mut linker, |guest| guest)?;
    Ok(linker)
}

/// What the author of a component asks for.
fn asked_limits(manifest: &Manifest) -> PluginLimits {
    let asked = &manifest.limits;
    PluginLimits {
        memory_bytes: asked.memory_mib.map(|mib| (mib as usize) << 20),
        cpu_budget: asked.cpu,
        wall_deadline: asked.timeout,
    }
}

/// The operator's word, else the author's as far as it is less than what all get, else what all get. Only memory has a bound
/// that no plugin can go beyond: the size of the pool's slots.
fn limits(all: &Limits, asked: PluginLimits, operator: PluginLimits) -> Result<Limits, String> {
    if let Some(bytes) = operator.memory_bytes
        && bytes > all.memory_bytes
    {
        return Err(format!(
            "its limit of {bytes} bytes of memory is beyond the {} that this host has for one instance",
            all.memory_bytes
        ));
    }
    let limits = Limits {
        memory_bytes: operator
            .memory_bytes
            .unwrap_or_else(|| least(asked.memory_bytes, all.memory_bytes)),
        cpu_budget: operator
            .cpu_budget
            .unwrap_or_else(|| least(asked.cpu_budget, all.cpu_budget)),
        wall_deadline: operator
            .wall_deadline
            .unwrap_or_else(|| least(asked.wall_deadline, all.wall_deadline)),
        ..all.clone()
    };
    limits.check().map_err(|e| e.to_string())?;
    Ok(limits)
}

fn least<T: Ord>(asked: Option<T>, all: T) -> T {
    match asked {
        Some(asked) => asked.min(all),
        None => all,
    }
}
