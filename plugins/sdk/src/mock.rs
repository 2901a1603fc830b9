//! The host's place in unit tests: what [`config`](crate::config) reads, and where [`log`](crate::log) writes. Native
//! targets only. All of it belongs to the calling thread, so tests that run side by side do not meet.

use std::cell::RefCell;

use crate::log::Level;

thread_local! {
    static CONFIG: RefCell<String> = RefCell::new("{}".to_owned());
    static LOG: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// Sets the JSON text that `config::read` parses from now on. It is `{}` at first.
pub fn set_config(json: impl Into<String>) {
    CONFIG.set(json.into());
}

/// Takes the lines that were logged since the last call.
pub fn take_log() -> Vec<(Level, String)> {
    LOG.take()
}

pub(crate) fn config() -> String {
    CONFIG.with_borrow(Clone::clone)
}

pub(crate) fn write_log(level: Level, line: &str) {
    LOG.with_borrow_mut(|log| log.push((level, line.to_owned())));
}
