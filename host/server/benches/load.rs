//! What many clients at once see: 1,000 streams, and ten times as many requests as can be served.
//!
//! `cargo bench --workspace --bench load [-- SECONDS]`. The model computes next to nothing but takes its time, so its capacity is
//! known; clients are on a thread of their own. Ends with an error if a stream lost or doubled a token, a request was neither
//! answered nor refused with 429, or the server did not come back.

#[path = "load/overload.rs"]
mod overload;
#[path = "load/paced.rs"]
mod paced;
#[path = "platform/quantile.rs"]
mod quantile;
#[allow(dead_code, reason = "functions are the other benchmarks' part")]
#[path = "platform/server.rs"]
mod server;
#[path = "load/stream.rs"]
mod stream;
#[path = "load/streams.rs"]
mod streams;

use std::time::Duration;

fn main() {
    let seconds = std::env::args().find_map(|word| word.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(60));
    // Clients are elsewhere in life: they do not wait for the server's threads.
    let asking = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let serving = server::runtime();
    let all_whole = asking.block_on(streams::run(&serving));
    let held = asking.block_on(overload::run(&serving, time));
    serving.shutdown_background();
    std::process::exit(i32::from(!(all_whole && held)));
}
