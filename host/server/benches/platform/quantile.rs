//! Shares of measured times.

use std::time::Duration;

/// The least duration that this percentage of them does not exceed; zero of none.
pub(crate) fn quantile(durations: &mut [Duration], percent: usize) -> Duration {
    durations.sort_unstable();
    let index = (durations.len() * percent).div_ceil(100).saturating_sub(1);
    durations.get(index).copied().unwrap_or_default()
}
