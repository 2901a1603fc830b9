//! What honest requests suffer from a hostile function beside them: how many fail, and how much longer the rest takes.
//!
//! `cargo bench --workspace --bench neighbours [-- SECONDS]` on an idle machine. Clients of chats and of `hello` ask at a steady rate,
//! from a thread of their own; then the same beside clients who give `hostile-function` each of its orders in turn. No honest
//! request may fail.

#[path = "platform/quantile.rs"]
mod quantile;
#[path = "platform/server.rs"]
mod server;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use quantile::quantile;
use reqwest::StatusCode;
use serde_json::{Value, json};
use server::Server;

/// Clients of each kind.
const NUM_CLIENTS: usize = 8;
/// Between the end of a client's request and its next one.
const PAUSE: Duration = Duration::from_millis(50);
const NUM_TOKENS: usize = 16;
/// How long a hostile client waits for its answer: shorter than some orders take, so that all get their turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// All that the README of `hostile` lists.
const ORDERS: &str = "spin memory-bomb stack-bomb trap log-flood no-answer never-answer answer-twice error-answer drop-body forget-body \
    hold-body table-bomb huge-response endless-response long-length short-length status-99 split-header many-headers huge-header \
    own-connection no-read half-read break-off refuse huge-refusal hold-generation many-generations no-inputs zero-samples \
    many-samples bad-token nan-temperature huge-prompt generate giant-key giant-value path-keys fill-store empty-store \
    random-bomb print-flood environment time settings fetch?http://127.0.0.1:1/";

const GRANTS: [&str; 7] = [
    "log",
    "config",
    "clock",
    "random",
    "key-value",
    "inference",
    "outgoing-http",
];

/// Requests of one kind.
#[derive(Default)]
struct Tally {
    times: Vec<Duration>,
    /// What went wrong, and how often.
    failures: BTreeMap<String, usize>,
}

/// What a time of load came to.
struct Load {
    chats: Tally,
    hellos: Tally,
}

fn main() {
    let seconds = std::env::args().find_map(|word| word.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(10));
    let serving = server::runtime();
    let server = serving.block_on(Server::start());
    // Clients are elsewhere in life: they do not wait for the server's threads.
    let asking = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let failed = asking.block_on(compare(&server, time));
    // Guests that still spin would hold up an orderly end.
    serving.shutdown_background();
    std::process::exit(i32::from(failed));
}

/// Prints every comparison; whether an honest request failed.
async fn compare(server: &Server, time: Duration) -> bool {
    let hello = server.upload("hello").await;
    server.deploy("hello", hello, json!({})).await;
    let short = json!({"cpu_ms": 100, "timeout_ms": 500});
    let terms = [
        ("the default limits", json!({})),
        ("100 ms of CPU, 500 ms in all", json!({"limits": short})),
        (
            "the same, one at a time",
            json!({"limits": short, "max_concurrency": 1}),
        ),
    ];
    let mut failed = false;
    for (name, mut terms) in terms {
        let hostile = server.upload("hostile-function").await;
        terms["grants"] = json!(GRANTS);
        server.deploy("hostile-function", hostile, terms).await;
        let mut alone = load(server, time).await;
        let orders = AtomicUsize::new(0);
        let mut beside = with_hostile_clients(server, &orders, load(server, time)).await;
        println!(
            "hostile-function with {name}: {} orders",
            orders.into_inner()
        );
        for (kind, alone, beside) in [
            ("chat", &mut alone.chats, &mut beside.chats),
            ("hello", &mut alone.hellos, &mut beside.hellos),
        ] {
            alone.print(&format!("{kind}, alone"));
            beside.print(&format!("{kind}, beside it"));
            let ratio = |percent| {
                quantile(&mut beside.times, percent).as_secs_f64()
                    / quantile(&mut alone.times, percent).as_secs_f64()
            };
            let [p50, p99] = [50, 99].map(ratio);
            println!("  {kind}: P50 {p50:.2} times, P99 {p99:.2} times (goal: 2)");
            failed |= !(alone.failures.is_empty() && beside.failures.is_empty());
        }
    }
    failed
}

/// Steady requests of both kinds.
async fn load(server: &Server, time: Duration) -> Load {
    let until = Instant::now() + time;
    let chats = join_all((0..NUM_CLIENTS).map(|_| client(until, || chat(server))));
    let hellos = join_all((0..NUM_CLIENTS).map(|_| client(until, || hello(server))));
    let (chats, hellos) = tokio::join!(chats, hellos);
    Load {
        chats: Tally::of(chats),
        hellos: Tally::of(hellos),
    }
}

async fn client(until: Instant, ask: impl AsyncFn() -> Result<(), String>) -> Tally {
    let mut tally = Tally::default();
    while Instant::now() < until {
        let start = Instant::now();
        match ask().await {
            Ok(()) => tally.times.push(start.elapsed()),
            Err(why) => *tally.failures.entry(why).or_default() += 1,
        }
        tokio::time::sleep(PAUSE).await;
    }
    tally
}

/// Until the work is done, as many clients again give orders, one after the other; then they leave.
async fn with_hostile_clients<T>(
    server: &Server,
    orders: &AtomicUsize,
    work: impl Future<Output = T>,
) -> T {
    let words: Vec<&str> = ORDERS.split_whitespace().collect();
    let client = async || {
        loop {
            let word = words[orders.fetch_add(1, Relaxed) % words.len()];
            let url = format!("http://{}/fn/hostile-function/{word}", server.address);
            let _ = tokio::time::timeout(PATIENCE, order(server, &url)).await;
        }
    };
    let hostile = join_all((0..NUM_CLIENTS).map(|_| client()));
    tokio::select! {
        result = work => result,
        _ = hostile => unreachable!("they never stop"),
    }
}

/// Reads the answer as far as an honest one might go.
async fn order(server: &Server, url: &str) -> reqwest::Result<()> {
    let mut response = server.client.post(url).body("x").send().await?;
    let mut len = 0;
    while let Some(bytes) = response.chunk().await? {
        len += bytes.len();
        if len > 1 << 20 {
            break;
        }
    }
    Ok(())
}

async fn chat(server: &Server) -> Result<(), String> {
    let request: Value = json!({
        "model": "demo", "stream": true, "max_tokens": NUM_TOKENS, "temperature": 0, "ignore_eos": true,
        "messages": [{"role": "user", "content": "are you well?"}],
    });
    let url = format!("http://{}/v1/chat/completions", server.address);
    let body = text(server.client.post(url).body(request.to_string())).await?;
    match body.ends_with("data: [DONE]\n\n") && !body.contains("\"error\"") {
        true => Ok(()),
        false => Err(format!("a chat broke off: {body}")),
    }
}

async fn hello(server: &Server) -> Result<(), String> {
    let url = format!("http://{}/fn/hello/x", server.address);
    match text(server.client.get(url)).await?.as_str() {
        "Hello.\n" => Ok(()),
        other => Err(format!("another answer: {other}")),
    }
}

async fn text(request: reqwest::RequestBuilder) -> Result<String, String> {
    let response = request.send().await.map_err(|error| format!("{error:?}"))?;
    let status = response.status();
    let text = response
        .text()
        .await
        .map_err(|error| format!("{error:?}"))?;
    match status {
        StatusCode::OK => Ok(text),
        _ => Err(format!("status {status}: {text}")),
    }
}

impl Tally {
    fn of(clients: Vec<Tally>) -> Tally {
        let mut all = Tally::default();
        for client in clients {
            all.times.extend(client.times);
            for (why, count) in client.failures {
                *all.failures.entry(why).or_default() += count;
            }
        }
        all
    }

    fn print(&mut self, name: &str) {
        let [p50, p99] = [50, 99].map(|percent| quantile(&mut self.times, percent));
        let failed: usize = self.failures.values().sum();
        println!(
            "  {name:18} {:6} answered, {failed} failed, P50 {p50:.2?}, P99 {p99:.2?}",
            self.times.len()
        );
        for (why, count) in &self.failures {
            println!("    {count} times: {why}");
        }
    }
}
