//! The functions that serve now: what is deployed, loaded and ready to be called.

mod answer;
mod change;
mod gate;
mod model;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use deploy::{Access, Deployments, FunctionName, Quota, Routes, Store, Version, VersionNumber};
use sandbox::{Loader, PluginInfo, PluginLimits, PluginSpec, Sandbox};

use crate::routes;

pub(crate) use answer::answer;
pub(crate) use change::{ChangeError, Order, now};
use gate::{Gate, Size};

/// Functions that are part of the host, and those that users deployed.
pub struct Functions {
    loader: Loader,
    /// What is deployed, on disk; `None` where nothing can be.
    store: Option<Arc<Mutex<Store>>>,
    /// Held from a change on disk to the moment from which it serves, so that changes serve in the order of the disk.
    changing: tokio::sync::Mutex<()>,
    builtin: Vec<Builtin>,
    live: ArcSwap<Live>,
}

/// A function that is part of the host.
pub struct BuiltinFunction {
    /// Its name in metrics and logs.
    pub name: &'static str,
    /// The paths that it answers; everyone may call it.
    pub paths: &'static [&'static str],
    /// The function.
    pub function: sandbox::Function,
}

/// A function that is part of the host, and its places.
struct Builtin {
    what: BuiltinFunction,
    gate: Arc<Gate>,
}

/// What serves at one moment.
struct Live {
    deployments: Deployments,
    routes: Routes,
    serving: HashMap<FunctionName, Arc<Serving>>,
}

/// One deployed function and the versions of it that traffic goes to, or can be sent back to at once.
struct Serving {
    /// Those that could not be loaded say why.
    versions: BTreeMap<VersionNumber, Result<sandbox::Function, String>>,
    gate: Arc<Gate>,
    /// Counts requests, for the canary's share.
    tickets: Arc<AtomicU64>,
}

/// Versions that were loaded just now, or why they could not be.
type Loaded = HashMap<(FunctionName, VersionNumber), Result<sandbox::Function, String>>;

/// Who answers a request, and on what terms.
pub(crate) struct Found {
    name: String,
    /// What the function was asked under, for shapers.
    route: String,
    /// 0 for a function that is part of the host.
    version: u32,
    access: Access,
    gate: Arc<Gate>,
    function: Result<sandbox::Function, String>,
}

impl Functions {
    /// Loads what is deployed. A version that cannot be loaded any more is logged, and answers 503 until it is replaced.
    pub async fn open(
        loader: Loader,
        store: Option<Store>,
        builtin: Vec<BuiltinFunction>,
    ) -> Functions {
        let mut live = Live::empty();
        if let Some(store) = &store {
            let mut loaded = Loaded::new();
            for function in store.deployments().functions() {
                for number in function.live().versions() {
                    let version = &function.versions()[&number];
                    let outcome = load_stored(&loader, store, function.name(), version).await;
                    if let Err(error) = &outcome {
                        tracing::error!(function = %function.name(), %number, %error, "a deployed function cannot serve");
                    }
                    loaded.insert((function.name().clone(), number), outcome);
                }
            }
            live = Live::new(store.deployments(), &live, loaded);
        }
        let builtin = builtin.into_iter().map(|what| Builtin {
            what,
            gate: Arc::new(Gate::new(Size::default())),
        });
        Functions {
            loader,
            store: store.map(|store| Arc::new(Mutex::new(store))),
            changing: tokio::sync::Mutex::default(),
            builtin: builtin.collect(),
            live: ArcSwap::from_pointee(live),
        }
    }

    /// Where functions are loaded.
    pub(crate) fn sandbox(&self) -> &Sandbox {
        self.loader.sandbox()
    }

    /// Who answers this path, if a function does. Those that are part of the host go first.
    pub(crate) fn find(&self, path: &str) -> Option<Found> {
        for Builtin { what, gate } in &self.builtin {
            let pattern = what
                .paths
                .iter()
                .find(|pattern| routes::matches(pattern, path));
            if let Some(&pattern) = pattern {
                return Some(Found {
                    name: what.name.into(),
                    route: pattern.into(),
                    version: 0,
                    access: Access::Public,
                    gate: gate.clone(),
                    function: Ok(what.function.clone()),
                });
            }
        }
        let live = self.live.load();
        let function = live.routes.find(path)?;
        let serving = live.serving.get(function.name())?;
        let (number, version) = function.choose(serving.tickets.fetch_add(1, Relaxed));
        let loaded = match serving.versions.get(&number) {
            Some(loaded) => loaded.clone(),
            None => Err(format!("version {number} is not loaded")),
        };
        Some(Found {
            name: function.name().to_string(),
            route: function.route().to_string(),
            version: number.get(),
            access: version.access,
            gate: serving.gate.clone(),
            function: loaded,
        })
    }

    /// What is known of the components of the functions that are part of the host.
    pub(crate) fn builtin(&self) -> impl Iterator<Item = &PluginInfo> {
        self.builtin
            .iter()
            .map(|builtin| builtin.what.function.info())
    }

    /// What is deployed now.
    pub(crate) fn deployments(&self) -> Deployments {
        self.live.load().deployments.clone()
    }

    /// How many requests a function works on, and how many wait.
    pub(crate) fn load(&self, name: &FunctionName) -> (usize, usize) {
        let live = self.live.load();
        let gate = live.serving.get(name).map(|serving| &serving.gate);
        gate.map_or((0, 0), |gate| (gate.num_running(), gate.num_queued()))
    }
}

/// The versions that get traffic, and how much of it in percent.
pub(crate) fn shares(live: &deploy::Live) -> impl Iterator<Item = (VersionNumber, u8)> {
    let canary = live
        .canary
        .map(|canary| (canary.version, canary.percent.get()));
    let stable = (live.stable, 100 - canary.map_or(0, |(_, percent)| percent));
    [Some(stable), canary].into_iter().flatten()
}

impl Live {
    fn empty() -> Live {
        let nothing = Quota {
            max_functions: 0,
            max_versions: std::num::NonZeroUsize::MIN,
            max_bytes: 0,
        };
        let deployments = Deployments::new(nothing);
        Live {
            routes: Routes::new(&deployments),
            deployments,
            serving: HashMap::new(),
        }
    }

    /// What is deployed, with the versions loaded just now and, for the rest, those that served before.
    fn new(deployments: &Deployments, before: &Live, mut loaded: Loaded) -> Live {
        let mut serving = HashMap::new();
        for function in deployments.functions() {
            let name = function.name();
            let old = before.serving.get(name);
            let versions = function.live().versions().filter_map(|number| {
                let new = loaded.remove(&(name.clone(), number));
                let kept = || old.and_then(|old| old.versions.get(&number)).cloned();
                new.or_else(kept).map(|function| (number, function))
            });
            let versions = versions.collect();
            let size = Size::of(&function.versions()[&function.live().stable]);
            let gate = match old {
                Some(old) if old.gate.size() == size => old.gate.clone(),
                _ => Arc::new(Gate::new(size)),
            };
            let tickets = old.map_or_else(Arc::default, |old| old.tickets.clone());
            let new = Serving {
                versions,
                gate,
                tickets,
            };
            serving.insert(name.clone(), Arc::new(new));
        }
        Live {
            routes: Routes::new(deployments),
            deployments: deployments.clone(),
            serving,
        }
    }
}

/// Loads a version from the store; the error is for the operator.
async fn load_stored(
    loader: &Loader,
    store: &Store,
    name: &FunctionName,
    version: &Version,
) -> Result<sandbox::Function, String> {
    let component = store
        .component(&version.component)
        .map_err(|e| e.to_string())?;
    let component =
        component.ok_or_else(|| format!("its component {} is gone", version.component))?;
    let loaded = loader.load_function(spec(name, version), component).await;
    loaded.map_err(|e| e.to_string())
}

/// What the sandbox is told of a version.
fn spec(name: &FunctionName, version: &Version) -> PluginSpec {
    let millis = |ms: std::num::NonZeroU64| Duration::from_millis(ms.get());
    PluginSpec {
        name: name.as_str().into(),
        grants: version.capabilities.clone(),
        hosts: version.outgoing_hosts.iter().cloned().collect(),
        config: version.config.clone(),
        limits: PluginLimits {
            memory_bytes: version
                .limits
                .memory_mib
                .map(|mib| (mib.get() as usize) << 20),
            cpu_budget: version.limits.cpu_ms.map(millis),
            wall_deadline: version.limits.timeout_ms.map(millis),
        },
    }
}
