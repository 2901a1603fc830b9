//! The WebAssembly engine that all request plugins share, its pool of instances and its clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::counters::{Counters, PluginStats};
use crate::error::SandboxError;
use crate::limits::{Limits, TICK};

/// Most entries of a guest's function tables. Python components, the largest known, need about 12,000.
pub(crate) const TABLE_ELEMENTS: usize = 20_000;

/// Core modules in one component. Python components, the largest known, have 38.
const CORE_INSTANCES: u32 = 64;

/// Where plugins run. Cheap to clone; all clones are the same sandbox.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    engine: Engine,
    limits: Limits,
    counters: Mutex<BTreeMap<Arc<str>, Arc<Counters>>>,
}

impl Sandbox {
    /// Reserves address space for [`Limits::max_instances`] instances and starts the clock that counts CPU time.
    pub fn new(limits: Limits) -> Result<Sandbox, SandboxError> {
        limits.check()?;
        let engine = engine(&limits).map_err(|e| SandboxError::Runtime(format!("{e:#}")))?;
        start_clock(&engine)?;
        Ok(Sandbox(Arc::new(Inner {
            engine,
            limits,
            counters: Mutex::default(),
        })))
    }

    /// The limits that hold in it.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// How many instances are alive now, of at most [`Limits::max_instances`].
    pub fn num_instances(&self) -> u64 {
        self.0
            .engine
            .pooling_allocator_metrics()
            .map_or(0, |pool| pool.component_instances())
    }

    /// The numbers of every plugin that was ever loaded, by name.
    pub fn stats(&self) -> Vec<PluginStats> {
        let all = self
            .0
            .counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .map(|(name, counters)| counters.snapshot(name))
            .collect()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The counters of a plugin, which outlive its versions.
    pub(crate) fn counters(&self, plugin: &Arc<str>) -> Arc<Counters> {
        let mut all = self
            .0
            .counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.entry(plugin.clone()).or_default().clone()
    }
}

fn engine(limits: &Limits) -> wasmtime::Result<Engine> {
    let instances = limits.max_instances;
    let mut pool = PoolingAllocationConfig::new();
    // Only component instances are meant to run out, as that is the limit operators set. The others are counters, or
    // address space that costs nothing until used: a component has few memories and tables, but more than one.
    pool.total_component_instances(instances)
        .total_core_instances(instances * CORE_INSTANCES)
        .total_memories(instances * 2)
        .total_tables(instances * 4)
        .total_stacks(instances)
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
        // WIT `async` is not in these worlds, and without it a call costs a third.
        .concurrency_support(false)
        // Bounds checks in place of 4 GiB of address space per memory: sandboxes such as gVisor have little of it.
        .memory_reservation(limits.memory_bytes as u64)
        .memory_guard_size(64 << 10)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
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
