//! What the platform costs: plugins without HTTP, functions without and with it, a deployment, code from the cache.
//!
//! `cargo bench --workspace --bench platform` on an idle machine. Below Criterion's mean and its interval stand the quantiles of
//! single turns, which goals are stated in.

#[path = "platform/cache.rs"]
mod cache;
#[path = "platform/functions.rs"]
mod functions;
#[path = "platform/plugins.rs"]
mod plugins;
#[path = "platform/quantile.rs"]
mod quantile;
#[path = "platform/server.rs"]
mod server;
#[path = "platform/turns.rs"]
mod turns;

use criterion::{Criterion, criterion_group, criterion_main};

fn benchmarks(criterion: &mut Criterion) {
    let runtime = server::runtime();
    plugins::bench(criterion, &runtime);
    functions::bench(criterion, &runtime);
    cache::bench(criterion, &runtime);
}

criterion_group!(group, benchmarks);
criterion_main!(group);
