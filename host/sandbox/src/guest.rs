//! What one instance has left to use, and the host's side of its imports.

use std::sync::Arc;

use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};

use crate::bindings::{config, log, types};
use crate::plugin::Loaded;
use crate::sandbox::TABLE_ELEMENTS;

/// Longest log line in bytes; the rest is cut.
const LOG_LINE_BYTES: usize = 2 << 10;

/// The data of one instance's store: the quotas of one request.
pub(crate) struct Guest {
    plugin: Arc<Loaded>,
    request_id: String,
    cpu_ticks_left: u64,
    memory_bytes_left: usize,
    log_lines_left: u32,
    log_bytes_left: usize,
}

/// Why the host ended a guest. The embedder finds it as the cause of the trap.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub(crate) enum LimitHit {
    #[error("CPU budget spent")]
    Cpu,
    #[error("memory limit reached")]
    Memory,
    #[error("a table grew beyond {TABLE_ELEMENTS} elements")]
    Table,
}

impl Guest {
    pub(crate) fn new(plugin: Arc<Loaded>, request_id: &str) -> Guest {
        let limits = plugin.limits();
        Guest {
            request_id: request_id.into(),
            cpu_ticks_left: limits.cpu_ticks(),
            memory_bytes_left: limits.memory_bytes,
            log_lines_left: limits.log_lines,
            log_bytes_left: limits.log_bytes,
            plugin,
        }
    }

    /// Gives it a whole CPU budget for the call to come.
    pub(crate) fn refill_cpu(&mut self) {
        self.cpu_ticks_left = self.plugin.limits().cpu_ticks();
    }

    /// Called when a computing guest meets a tick of the clock: lets others run, or ends it.
    pub(crate) fn on_tick(
        mut store: StoreContextMut<'_, Guest>,
    ) -> wasmtime::Result<UpdateDeadline> {
        let left = &mut store.data_mut().cpu_ticks_left;
        *left = left.checked_sub(1).ok_or(LimitHit::Cpu)?;
        // The runtime's own yield wakes the task at once; this one lets the I/O driver run first.
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(tokio::task::yield_now()),
        ))
    }
}

/// Growth beyond a limit ends the guest here, instead of failing inside it, so that the error can name the limit.
impl ResourceLimiter for Guest {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        self.memory_bytes_left = self
            .memory_bytes_left
            .checked_sub(more)
            .ok_or(LimitHit::Memory)?;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS {
            return Err(LimitHit::Table.into());
        }
        Ok(true)
    }
}

impl types::Host for Guest {}

impl config::Host for Guest {
    fn read(&mut self) -> String {
        self.plugin.config_json.clone()
    }
}

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, line: String) {
        // Looked at first, so that a flood costs the host no more than its counting.
        if self.log_lines_left == 0 || line.len().min(LOG_LINE_BYTES) > self.log_bytes_left {
            return self.plugin.counters.dropped_log_line();
        }
        let line = printable(&line);
        self.log_lines_left -= 1;
        self.log_bytes_left = self.log_bytes_left.saturating_sub(line.len());
        let (plugin, request_id) = (&*self.plugin.info.name, self.request_id.as_str());
        match level {
            log::Level::Debug => tracing::debug!(target: "plugin", plugin, request_id, "{line}"),
            log::Level::Info => tracing::info!(target: "plugin", plugin, request_id, "{line}"),
            log::Level::Warn => tracing::warn!(target: "plugin", plugin, request_id, "{line}"),
            log::Level::Error => tracing::error!(target: "plugin", plugin, request_id, "{line}"),
        }
    }
}

/// Cuts a line, and writes control characters so that a guest can neither forge a second line nor steer a terminal.
fn printable(line: &str) -> String {
    let mut out = String::new();
    for c in line.chars() {
        if out.len() >= LOG_LINE_BYTES {
            out.push('…');
            break;
        }
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_stays_one_line_of_bounded_length() {
        assert_eq!(printable("a\nb\u{1b}[2J\tä"), "a\\nb\\u{1b}[2J\\tä");
        let long = printable(&"ä".repeat(LOG_LINE_BYTES));
        assert!(
            long.len() < LOG_LINE_BYTES + 8 && long.ends_with('…'),
            "{} bytes",
            long.len()
        );
    }
}
