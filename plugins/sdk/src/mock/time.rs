use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static MONOTONIC: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Sets the wall clock, as the time since 1970; it may go back. The monotonic clock stays where it is.
pub fn set_time(since_1970: Duration) {
    NOW.set(since_1970);
}

/// Lets time go by on both clocks.
pub fn advance(time: Duration) {
    NOW.set(NOW.get() + time);
    MONOTONIC.set(MONOTONIC.get() + time);
}

pub(crate) fn now() -> Duration {
    NOW.get()
}

pub(crate) fn monotonic() -> Duration {
    MONOTONIC.get()
}

pub(super) fn reset() {
    NOW.set(Duration::ZERO);
    MONOTONIC.set(Duration::ZERO);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn the_wall_clock_can_be_set_and_the_monotonic_one_only_advances() {
        reset();
        set_time(Duration::from_secs(100));
        advance(Duration::from_secs(5));
        set_time(Duration::from_secs(3));
        assert_eq!(clock::now(), Duration::from_secs(3));
        assert_eq!(clock::monotonic(), Duration::from_secs(5));
    }
}
