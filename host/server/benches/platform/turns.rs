//! Benchmarks whose turns are timed one by one, for their quantiles.

use std::time::Duration;

use criterion::{BenchmarkGroup, SamplingMode, measurement::WallTime};

use super::quantile::quantile;

/// What a benchmark is held to.
pub(crate) enum Goal {
    /// The median of its turns.
    P50(Duration),
    /// Its figure only explains others.
    None,
}

pub(crate) fn micros(micros: u64) -> Goal {
    Goal::P50(Duration::from_micros(micros))
}

pub(crate) fn millis(millis: u64) -> Goal {
    Goal::P50(Duration::from_millis(millis))
}

/// `turn` does something once and returns how long the part took that is measured.
pub(crate) fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    goal: Goal,
    mut turn: impl FnMut() -> Duration,
) {
    let mut turns = Vec::new();
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function(name, |bencher| {
        // The turns that warm up are among those of the quantiles; they are one in three.
        bencher.iter_custom(|iterations| {
            let first = turns.len();
            turns.extend((0..iterations).map(|_| turn()));
            turns[first..].iter().sum()
        });
    });
    // A filter on the command line left it out.
    if turns.is_empty() {
        return;
    }
    let (p50, p99) = (quantile(&mut turns, 50), quantile(&mut turns, 99));
    let verdict = match goal {
        Goal::P50(goal) if p50 <= goal => format!("; goal {goal:.1?}: met"),
        Goal::P50(goal) => format!("; goal {goal:.1?}: MISSED"),
        Goal::None => String::new(),
    };
    println!(
        "    P50 {p50:.2?}, P99 {p99:.2?} of {} turns{verdict}",
        turns.len()
    );
}
