//! The WebAssembly engines: one that all request plugins share and one for functions, each with its pool of instances and
//! its clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use artifact::Role;
use tokio::sync::Semaphore;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::counters::{Counters, PluginStats};
use crate::error::SandboxError;
use crate::key_value::KeyValueStore;
use crate::limits::{Limits, TICK};
use crate::logs::LogBook;

/// Most entries of a guest's function tables. Python components, the largest known, need about 12,000.
pub(crate) const TABLE_ELEMENTS: usize = 20_000;

/// Core modules in one component. Python components, the largest known, have 38.
const CORE_INSTANCES: u32 = 64;

/// Where plugins run. Cheap to clone; all clones are the same sandbox.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    requests: Pool,
    functions: Pool,
    /// Turns of one tick for functions that compute for longer than one. A core is left to everybody else.
    turns: Arc<Semaphore>,
    key_value: Option<KeyValueStore>,
    records: Mutex<BTreeMap<Arc<str>, Records>>,
}

/// An engine and what its guests may use.
struct Pool {
    engine: Engine,
    limits: Limits,
}

/// What is kept of a plugin by its name, over all of its versions.
#[derive(Default, Clone)]
pub(crate) struct Records {
    pub(crate) counters: Arc<Counters>,
    pub(crate) logs: Arc<LogBook>,
}

impl Sandbox {
    /// Reserves address space for [`Limits::max_instances`] instances of request plugins and of functions, and starts the
    /// clocks that count CPU time. Without a store no plugin can keep pairs.
    pub fn new(
        requests: Limits,
        functions: Limits,
        key_value: Option<KeyValueStore>,
    ) -> Result<Sandbox, SandboxError> {
        // WIT `async` is not in the worlds of request plugins, and without it a call costs a third.
        let requests = Pool::new(requests, |config| config.concurrency_support(false))?;
        let functions = Pool::new(functions, |config| config.concurrency_support(true))?;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Ok(Sandbox(Arc::new(Inner {
            requests,
            functions,
            turns: Arc::new(Semaphore::new(cores.saturating_sub(1).max(1))),
            key_value,
            records: Mutex::default(),
        })))
    }

    /// What plugins of this role may use.
    pub fn limits(&self, role: Role) -> &Limits {
        &self.pool(role).limits
    }

    /// How many instances of request plugins are alive now, of at most [`Limits::max_instances`].
    pub fn num_instances(&self) -> u64 {
        self.0.requests.num_instances()
    }

    /// How many instances of functions are alive now.
    pub fn num_function_instances(&self) -> u64 {
        self.0.functions.num_instances()
    }

    /// The numbers of every plugin that was ever loaded, by name.
    pub fn stats(&self) -> Vec<PluginStats> {
        self.lock_records()
            .iter()
            .map(|(name, records)| records.counters.snapshot(name))
            .collect()
    }

    /// What the plugin of this name logged last.
    pub fn logs(&self, plugin: &str) -> Option<Arc<LogBook>> {
        let records = self.lock_records();
        records.get(plugin).map(|records| records.logs.clone())
    }

    pub(crate) fn engine(&self, role: Role) -> &Engine {
        &self.pool(role).engine
    }

    /// Waits until a function may compute for another tick. However many want to, they get no more than all cores but one.
    pub(crate) fn next_turn(&self) -> impl Future<Output = ()> + Send + 'static {
        let turns = self.0.turns.clone();
        async move {
            let turn = turns.acquire_owned().await;
            tokio::spawn(async move {
                tokio::time::sleep(TICK).await;
                drop(turn);
            });
        }
    }

    pub(crate) fn key_value(&self) -> Option<&KeyValueStore> {
        self.0.key_value.as_ref()
    }

    /// What is kept of a plugin of this name.
    pub(crate) fn records(&self, plugin: &Arc<str>) -> Records {
        self.lock_records()
            .entry(plugin.clone())
            .or_default()
            .clone()
    }

    fn pool(&self, role: Role) -> &Pool {
        match role {
            Role::Router | Role::Shaper | Role::ChatTemplate => &self.0.requests,
            Role::Function => &self.0.functions,
        }
    }

    fn lock_records(&self) -> std::sync::MutexGuard<'_, BTreeMap<Arc<str>, Records>> {
        self.0
            .records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    fn new(
        limits: Limits,
        adjust: impl FnOnce(&mut Config) -> &mut Config,
    ) -> Result<Pool, SandboxError> {
        limits.check()?;
        let mut config = config(&limits);
        let engine = Engine::new(adjust(&mut config))
            .map_err(|e| SandboxError::Runtime(format!("{e:#}")))?;
        start_clock(&engine)?;
        Ok(Pool { engine, limits })
    }

    fn num_instances(&self) -> u64 {
        let pool = self.engine.pooling_allocator_metrics();
        pool.map_or(0, |pool| pool.component_instances())
    }
}

fn config(limits: &Limits) -> Config {
    let instances = limits.max_instances;
    let mut pool = PoolingAllocationConfig::new();
    // Only component instances are meant to run out, as that is the limit operators set. The others are counters, or
    // address space that costs nothing until used: a component has few memories and tables, but more than one.
    pool.total_component_instances(instances)
        .total_core_instances(instances * CORE_INSTANCES)
        .total_memories(instances * 2)
        .total_tables(instances * 4)
        // A function of WASI 0.3 has a stack for each of its tasks.
        .total_stacks(instances * 4)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(16)
        .max_tables_per_component(32)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(1 << 20)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(limits.memory_bytes)
        // Used pages go back to the system. Zeroing the first megabyte in place costs three times as much, as it is the
        // guest's stack and hardly touched.
        .table_keep_resident(64 << 10)
        .max_unused_warm_slots(64);
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        // Bounds checks in place of 4 GiB of address space per memory: sandboxes such as gVisor have little of it.
        .memory_reservation(limits.memory_bytes as u64)
        .memory_guard_size(64 << 10)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// Ticks until the engine is dropped, which the thread must not prevent: it holds a weak reference.
fn start_clock(engine: &Engine) -> Result<(), SandboxError> {
    let engine = engine.weak();
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    };
    let spawned = thread::Builder::new()
        .name("plugin-clock".into())
        .spawn(tick);
    spawned
        .map(drop)
        .map_err(|e| SandboxError::Runtime(format!("cannot start the thread `plugin-clock`: {e}")))
}
