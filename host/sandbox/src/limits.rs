//! What one plugin may use, and how many instances there may be.

use std::time::Duration;

use crate::error::SandboxError;

/// Time between two ticks of the clock that counts a guest's CPU time.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// WebAssembly memory grows in pages of this size.
const PAGE_BYTES: usize = 64 << 10;

/// Bounds on what guests can use. They hold for every plugin of a pool of a [`Sandbox`](crate::Sandbox) that has none of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Most linear memory of one instance, in bytes, over all its memories. A multiple of 64 KiB, at most 4 GiB - 64 KiB.
    pub memory_bytes: usize,
    /// Most time that a guest may compute within one call, counted in ticks of 2 ms; waiting for a CPU between two
    /// ticks does not count.
    pub cpu_budget: Duration,
    /// Longest duration of one call by the clock on the wall, waiting included.
    pub wall_deadline: Duration,
    /// Most that one call may return or pass to the host, in bytes as the host keeps them.
    pub max_output_bytes: usize,
    /// Most instances alive at once. A router's and a template's instance live as long as the request's stream, a
    /// shaper's only for its call: take twice the number of concurrent requests, and some to spare.
    pub max_instances: u32,
    /// Most log lines per instance; further ones are dropped and counted.
    pub log_lines: u32,
    /// Most bytes of log lines per instance; what exceeds them is dropped and counted.
    pub log_bytes: usize,
    /// Most headers of one response.
    pub max_headers: usize,
    /// Most bytes of names and values of one response's headers.
    pub max_header_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_bytes: 64 << 20,
            cpu_budget: Duration::from_secs(1),
            wall_deadline: Duration::from_secs(2),
            max_output_bytes: 8 << 20,
            max_instances: 1024,
            log_lines: 64,
            log_bytes: 16 << 10,
            max_headers: 64,
            max_header_bytes: 16 << 10,
        }
    }
}

impl Limits {
    /// The defaults for functions, whose one call is a whole request: they may wait for the model, and hold a runtime of
    /// another language.
    pub fn for_functions() -> Limits {
        Limits {
            memory_bytes: 128 << 20,
            cpu_budget: Duration::from_secs(5),
            wall_deadline: Duration::from_secs(120),
            max_instances: 256,
            log_lines: 256,
            log_bytes: 64 << 10,
            ..Limits::default()
        }
    }

    /// Ticks of a call's CPU budget, rounded up.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        u64::try_from(self.cpu_budget.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX)
    }

    /// Refuses limits under which no plugin could run.
    pub(crate) fn check(&self) -> Result<(), SandboxError> {
        let refuse = |why: String| Err(SandboxError::Limits(why));
        if self.memory_bytes == 0
            || !self.memory_bytes.is_multiple_of(PAGE_BYTES)
            || self.memory_bytes >= 4 << 30
        {
            return refuse(format!(
                "memory_bytes is {}: give a multiple of {PAGE_BYTES} below 4 GiB",
                self.memory_bytes
            ));
        }
        if self.cpu_budget.is_zero() || self.wall_deadline.is_zero() {
            return refuse("cpu_budget and wall_deadline must be longer than zero".into());
        }
        if self.max_instances == 0 || self.max_instances > 65_536 {
            return refuse(format!(
                "max_instances is {}: give 1 to 65536",
                self.max_instances
            ));
        }
        if self.max_output_bytes == 0 {
            return refuse("max_output_bytes is 0: no plugin could return anything".into());
        }
        Ok(())
    }
}
