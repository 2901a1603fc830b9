//! How long calls took, by the clock.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use sandbox::Phase;

/// Times of calls, by phase.
#[derive(Default)]
pub(super) struct Timings([Vec<Duration>; Phase::ALL.len()]);

/// One phase in numbers.
pub(super) struct PhaseTimes {
    pub(super) phase: Phase,
    pub(super) calls: usize,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

impl Timings {
    /// Waits for a call and notes how long it took.
    pub(super) async fn time<T>(&mut self, phase: Phase, call: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let result = call.await;
        self.0[phase as usize].push(started.elapsed());
        result
    }

    /// The phases that were called, in the order of a request.
    pub(super) fn phases(&mut self) -> Vec<PhaseTimes> {
        let phases = Phase::ALL.into_iter().zip(&mut self.0);
        phases
            .filter(|(_, times)| !times.is_empty())
            .map(|(phase, times)| {
                times.sort_unstable();
                PhaseTimes {
                    phase,
                    calls: times.len(),
                    p50: percentile(times, 50),
                    p99: percentile(times, 99),
                }
            })
            .collect()
    }
}

/// The time that this share of the calls, in percent, did not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(100));
        assert_eq!(percentile(&times, 99), Duration::from_millis(198));
        assert_eq!(percentile(&times[..1], 99), Duration::from_millis(1));
    }
}
