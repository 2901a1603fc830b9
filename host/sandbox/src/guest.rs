//! What one instance has left to use, and the host's side of its imports.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use artifact::Role;
use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};

use crate::bindings::{clock, config, key_value, log, random, types};
use crate::key_value::{KeyValueError, Pairs};
use crate::logs::LogLevel;
use crate::plugin::Loaded;
use crate::sandbox::TABLE_ELEMENTS;

/// Longest log line in bytes; the rest is cut.
const LOG_LINE_BYTES: usize = 2 << 10;

/// Ticks that a function meets before it takes turns with others that compute. A short one meets a tick by chance.
const FREE_TICKS: u64 = 2;

/// Most random bytes that a guest can ask for at a time.
const MAX_RANDOM_BYTES: u32 = 1 << 16;

/// The data of one instance's store: the quotas of one request.
pub(crate) struct Guest {
    plugin: Arc<Loaded>,
    request_id: String,
    cpu_ticks_left: u64,
    memory_bytes_left: usize,
    log_lines_left: u32,
    log_bytes_left: usize,
    started: Instant,
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
    #[error("it asked for more than {MAX_RANDOM_BYTES} random bytes at once")]
    Random,
    #[error("it ended without finishing a body that it had begun")]
    Unfinished,
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
            started: Instant::now(),
            plugin,
        }
    }

    /// Gives it a whole CPU budget for the call to come.
    pub(crate) fn refill_cpu(&mut self) {
        self.cpu_ticks_left = self.plugin.limits().cpu_ticks();
    }

    /// Called when a computing guest meets a tick of the clock: lets others run, or ends it.
    pub(crate) fn on_tick<T: AsMut<Guest>>(
        mut store: StoreContextMut<'_, T>,
    ) -> wasmtime::Result<UpdateDeadline> {
        let guest = store.data_mut().as_mut();
        let left = guest.cpu_ticks_left.checked_sub(1);
        guest.cpu_ticks_left = left.ok_or(LimitHit::Cpu)?;
        let computed = guest.plugin.limits().cpu_ticks() - guest.cpu_ticks_left;
        let takes_turns = guest.plugin.info.role == Role::Function && computed > FREE_TICKS;
        let resume: Pin<Box<dyn Future<Output = ()> + Send>> = match takes_turns {
            true => Box::pin(guest.plugin.sandbox.next_turn()),
            // The runtime's own yield wakes the task at once; this one lets the I/O driver run first.
            false => Box::pin(tokio::task::yield_now()),
        };
        Ok(UpdateDeadline::YieldCustom(1, resume))
    }
}

impl AsMut<Guest> for Guest {
    fn as_mut(&mut self) -> &mut Guest {
        self
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let limit = self.plugin.limits().memory_bytes;
        self.plugin
            .counters
            .used_memory(limit - self.memory_bytes_left);
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

impl Guest {
    /// Writes a line to the operator's log and to the plugin's own, within the quota.
    pub(crate) fn log(&mut self, level: LogLevel, line: &str) {
        // Looked at first, so that a flood costs the host no more than its counting.
        if self.log_lines_left == 0 || line.len().min(LOG_LINE_BYTES) > self.log_bytes_left {
            return self.plugin.counters.dropped_log_line();
        }
        let line = printable(line);
        self.log_lines_left -= 1;
        self.log_bytes_left = self.log_bytes_left.saturating_sub(line.len());
        let (plugin, request_id) = (&*self.plugin.info.name, self.request_id.as_str());
        match level {
            LogLevel::Debug => tracing::debug!(target: "plugin", plugin, request_id, "{line}"),
            LogLevel::Info => tracing::info!(target: "plugin", plugin, request_id, "{line}"),
            LogLevel::Warn => tracing::warn!(target: "plugin", plugin, request_id, "{line}"),
            LogLevel::Error => tracing::error!(target: "plugin", plugin, request_id, "{line}"),
        }
        self.plugin.logs.write(level, request_id, line);
    }
}

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, line: String) {
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.log(level, &line);
    }
}

impl clock::Host for Guest {
    fn now_ms(&mut self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        clamp(since.map_or(0, |since| since.as_millis()))
    }

    fn monotonic_ns(&mut self) -> u64 {
        // Not the first moment of all: a guest may subtract a while from it.
        let before = Duration::from_secs(3600);
        clamp((self.started.elapsed() + before).as_nanos())
    }
}

fn clamp(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl random::Host for Guest {
    fn bytes(&mut self, len: u32) -> wasmtime::Result<Vec<u8>> {
        if len > MAX_RANDOM_BYTES {
            return Err(LimitHit::Random.into());
        }
        let mut bytes = vec![0; len as usize];
        getrandom::fill(&mut bytes).map_err(|error| {
            wasmtime::format_err!("the operating system has no random bytes: {error}")
        })?;
        Ok(bytes)
    }
}

impl Guest {
    /// Works on the pairs on a thread that may wait for the disk.
    async fn pairs<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Pairs) -> Result<T, KeyValueError> + Send + 'static,
    ) -> Result<T, key_value::Error> {
        let absent = || key_value::Error::Unavailable("this host keeps no pairs".into());
        let pairs = self.plugin.pairs.clone().ok_or_else(absent)?;
        let done = tokio::task::spawn_blocking(move || work(&pairs)).await;
        let done = done.map_err(|stopped| {
            key_value::Error::Unavailable(format!("the store's thread stopped: {stopped}"))
        })?;
        done.map_err(|error| match error {
            KeyValueError::Invalid(why) => key_value::Error::Invalid(why),
            KeyValueError::Quota(why) => key_value::Error::Quota(why),
            KeyValueError::Unavailable(_) => key_value::Error::Unavailable(error.to_string()),
        })
    }
}

impl key_value::Host for Guest {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, key_value::Error> {
        self.pairs(move |pairs| pairs.get(&key)).await
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), key_value::Error> {
        self.pairs(move |pairs| pairs.set(&key, &value)).await
    }

    async fn delete(&mut self, key: String) -> Result<bool, key_value::Error> {
        self.pairs(move |pairs| pairs.delete(&key)).await
    }

    async fn keys(
        &mut self,
        prefix: String,
        after: Option<String>,
        max: u32,
    ) -> Result<Vec<String>, key_value::Error> {
        self.pairs(move |pairs| pairs.keys(&prefix, after.as_deref(), max))
            .await
    }

    async fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<bool, key_value::Error> {
        self.pairs(move |pairs| pairs.compare_and_set(&key, expected.as_deref(), &value))
            .await
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
