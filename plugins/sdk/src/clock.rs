//! The host's clocks. Needs the grant `clock`. In a component `SystemTime::now` and `Instant::now` panic; these are in their place.

use std::time::Duration;

/// The time since 1970, UTC, in whole milliseconds. May go back when the machine's clock is set.
pub fn now() -> Duration {
    #[cfg(target_arch = "wasm32")]
    return Duration::from_millis(crate::bindings::shared::lm::plugin::clock::now_ms());
    #[cfg(not(target_arch = "wasm32"))]
    crate::mock::now()
}

/// The time since some moment before the instance began. Never goes back: the difference of two is a duration.
pub fn monotonic() -> Duration {
    #[cfg(target_arch = "wasm32")]
    return Duration::from_nanos(crate::bindings::shared::lm::plugin::clock::monotonic_ns());
    #[cfg(not(target_arch = "wasm32"))]
    crate::mock::monotonic()
}
