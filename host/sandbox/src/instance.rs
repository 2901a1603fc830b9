//! One instance of a plugin, and the guard around every call into it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::error::Elapsed;
use wasmtime::component::InstancePre;
use wasmtime::{PoolConcurrencyLimitError, ResourceLimiter, Store, Trap, WasmBacktrace};

use crate::error::{Fault, Phase, PluginError};
use crate::guest::{Guest, LimitHit};
use crate::plugin::Loaded;

/// Most resource handles that a guest can hold: parsers of many choices, and far fewer than the runtime's 100,000.
const MAX_HANDLES: usize = 10_000;

/// An instance that serves one request and is then dropped, which returns its slot to the pool.
pub(crate) struct Instance<B> {
    pub(crate) store: Store<Guest>,
    pub(crate) bindings: B,
    pub(crate) plugin: Arc<Loaded>,
    /// False while a call runs, so that it stays false when the call fails or its future is dropped half-way: the guest
    /// may then be in the middle of anything, and is never entered again.
    usable: bool,
}

/// A call that has begun. Whoever has one calls `Instance::end` with its result.
pub(crate) struct Call {
    phase: Phase,
    started: Instant,
    wall_deadline: Duration,
}

impl Call {
    pub(crate) fn new(phase: Phase, plugin: &Loaded) -> Call {
        Call {
            phase,
            started: Instant::now(),
            wall_deadline: plugin.limits().wall_deadline,
        }
    }

    /// Waits for the guest until the deadline.
    pub(crate) async fn bounded<T>(
        &self,
        call: impl Future<Output = wasmtime::Result<T>>,
    ) -> Result<wasmtime::Result<T>, Elapsed> {
        tokio::time::timeout(self.wall_deadline, call).await
    }

    /// Records the call and turns the ways in which a guest can fail into one error.
    pub(crate) fn end<T>(
        self,
        plugin: &Loaded,
        result: Result<wasmtime::Result<T>, Elapsed>,
    ) -> Result<T, PluginError> {
        plugin.counters.called(self.phase, self.started.elapsed());
        let (fault, backtrace) = match result {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => (self.fault(plugin, &error), backtrace(&error)),
            Err(Elapsed { .. }) => (Fault::Timeout(self.wall_deadline), None),
        };
        Err(PluginError {
            backtrace,
            ..plugin.failure(self.phase, fault)
        })
    }

    fn fault(&self, plugin: &Loaded, error: &wasmtime::Error) -> Fault {
        let limits = plugin.limits();
        if let Some(hit) = error.downcast_ref::<LimitHit>() {
            return match hit {
                LimitHit::Cpu => Fault::CpuBudget(limits.cpu_budget),
                LimitHit::Memory => Fault::Memory(limits.memory_bytes),
                LimitHit::Table | LimitHit::Random => Fault::Trap(hit.to_string()),
                LimitHit::Unfinished => Fault::Contract(hit.to_string()),
            };
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Fault::Overloaded(limits.max_instances);
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            return Fault::Trap(trap.to_string());
        }
        // The runtime keeps this error's type to itself; a test watches over its wording.
        let cause = error.root_cause().to_string();
        if cause.contains("fuel allocated for hostcalls has been exhausted") {
            return Fault::OutputTooLarge(limits.max_output_bytes);
        }
        Fault::Trap(cause)
    }
}

/// The guest's calls when it trapped, innermost first, one a line.
fn backtrace(error: &wasmtime::Error) -> Option<Arc<str>> {
    let backtrace = error.downcast_ref::<WasmBacktrace>()?;
    Some(backtrace.to_string().into())
}

/// A store whose guest is held to the plugin's limits.
pub(crate) fn new_store<T: AsMut<Guest>>(plugin: &Loaded, data: T) -> Store<T> {
    let mut store = Store::new(plugin.engine(), data);
    store.limiter(|data| data.as_mut() as &mut dyn ResourceLimiter);
    store.set_hostcall_fuel(plugin.limits().max_output_bytes);
    store.set_max_component_handles(MAX_HANDLES);
    store.epoch_deadline_callback(Guest::on_tick);
    store.set_epoch_deadline(1);
    store
}

impl<B> Instance<B> {
    /// A fresh instance for the request of this id. `bind` finds the exports of the role in it.
    pub(crate) async fn start(
        pre: &InstancePre<Guest>,
        plugin: &Arc<Loaded>,
        request_id: &str,
        bind: impl FnOnce(&mut Store<Guest>, &wasmtime::component::Instance) -> wasmtime::Result<B>,
    ) -> Result<Instance<B>, PluginError> {
        let mut store = new_store(plugin, Guest::new(plugin.clone(), request_id));
        let call = Call::new(Phase::Start, plugin);
        let result = call.bounded(pre.instantiate_async(&mut store)).await;
        let result = result.map(|started| started.and_then(|instance| bind(&mut store, &instance)));
        let bindings = call.end(plugin, result)?;
        Ok(Instance {
            store,
            bindings,
            plugin: plugin.clone(),
            usable: true,
        })
    }

    /// Begins a call with a whole CPU budget, unless an earlier one left the instance in an unknown state.
    pub(crate) fn begin(&mut self, phase: Phase) -> Result<Call, PluginError> {
        if !std::mem::replace(&mut self.usable, false) {
            return Err(self.plugin.failure(phase, Fault::Unusable));
        }
        self.store.data_mut().refill_cpu();
        // The clock ran on since the last call: without this the guest would be charged for it.
        self.store.set_epoch_deadline(1);
        Ok(Call::new(phase, &self.plugin))
    }

    /// Ends a call; after a failed one the instance is not used again.
    pub(crate) fn end<T>(
        &mut self,
        call: Call,
        result: Result<wasmtime::Result<T>, Elapsed>,
    ) -> Result<T, PluginError> {
        let value = call.end(&self.plugin, result)?;
        self.usable = true;
        Ok(value)
    }
}
