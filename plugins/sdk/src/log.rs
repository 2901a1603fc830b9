//! The operator's log. Each line is marked by the host with the plugin's name and the request's id; the host cuts long
//! lines and drops what exceeds the plugin's quota per request.

pub use crate::bindings::shared::lm::plugin::log::Level;

/// A line for the plugin's author.
pub fn debug(line: impl AsRef<str>) {
    write(Level::Debug, line.as_ref());
}

/// A line that an operator may want to know.
pub fn info(line: impl AsRef<str>) {
    write(Level::Info, line.as_ref());
}

/// A client was harmed.
pub fn warn(line: impl AsRef<str>) {
    write(Level::Warn, line.as_ref());
}

/// A person must act.
pub fn error(line: impl AsRef<str>) {
    write(Level::Error, line.as_ref());
}

#[cfg(target_arch = "wasm32")]
fn write(level: Level, line: &str) {
    crate::bindings::shared::lm::plugin::log::write(level, line);
}

#[cfg(not(target_arch = "wasm32"))]
fn write(level: Level, line: &str) {
    crate::mock::write_log(level, line);
}
