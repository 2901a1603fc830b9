//! Ten times as many requests as can be served: those that are taken do not wait long, the others are told so at once.

use std::{
    fs,
    time::{Duration, Instant},
};

use engine::EngineConfig;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::{runtime::Runtime, time::MissedTickBehavior};

use crate::{
    paced::Paced,
    quantile::quantile,
    server::Server,
    stream::{Outcome, ask, question},
};

const STEP: Duration = Duration::from_millis(10);
const NUM_TOKENS: usize = 16;
const MAX_RUNNING: usize = 8;
const MAX_WAITING: usize = 16;
/// Requests a second that are served: so many at a time, each in so many steps.
const CAPACITY: f64 = MAX_RUNNING as f64 / (NUM_TOKENS as f64 * 0.010);
const OVERLOAD: f64 = 10.0;
/// The goal for the first answer after the load, from its end on.
const RECOVERY: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Tally {
    first_tokens: Vec<Duration>,
    num_refused: usize,
    failures: Vec<String>,
}

impl Tally {
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Answered { first_token, .. } => self.first_tokens.push(first_token),
            Outcome::Refused => self.num_refused += 1,
            Outcome::Failed(why) => self.failures.push(why),
        }
    }
}

/// Prints what the clients saw; whether every request was answered whole or refused, and the server came back.
pub(crate) async fn run(serving: &Runtime, time: Duration) -> bool {
    let engine = EngineConfig {
        max_num_seqs: MAX_RUNNING,
        max_num_batched_tokens: 8192,
        max_num_queued_reqs: MAX_WAITING,
        ..EngineConfig::default()
    };
    let server = serving
        .spawn(Server::start_with(engine, |runner| {
            Paced::new(runner, STEP)
        }))
        .await
        .expect("it starts");
    let url = format!("http://{}/v1/chat/completions", server.address);
    let rate = CAPACITY * OVERLOAD;
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    // Late requests are sent late and not dropped: the load stays what it says.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let questions: Vec<_> = (0..64).map(|number| question(number, NUM_TOKENS)).collect();
    let mut running = FuturesUnordered::new();
    let mut tally = Tally::default();
    let begun = Instant::now();
    let mut asked = 0;
    let mut memory = Vec::new();
    while begun.elapsed() < time {
        tokio::select! {
            _ = ticks.tick() => {
                running.push(ask(&server.client, &url, &questions[asked % questions.len()]));
                asked += 1;
                if asked % (rate as usize) == 0 {
                    memory.push(resident_mib());
                }
            }
            Some(outcome) = running.next() => tally.count(outcome),
        }
    }
    let load_ended = Instant::now();
    let first = ask_until_answered(&server, &url).await;
    let recovered = load_ended.elapsed();
    while let Some(outcome) = running.next().await {
        tally.count(outcome);
    }
    report(
        asked,
        begun.elapsed(),
        &mut tally,
        &memory,
        first.then_some(recovered),
    );
    tally.failures.is_empty() && !tally.first_tokens.is_empty() && first
}

/// Whether the server answers again within a time that no client would wait longer.
async fn ask_until_answered(server: &Server, url: &str) -> bool {
    let patience = 10 * RECOVERY;
    let answered = async {
        loop {
            if let Outcome::Answered { .. } =
                ask(&server.client, url, &question(0, NUM_TOKENS)).await
            {
                break;
            }
            tokio::time::sleep(STEP).await;
        }
    };
    tokio::time::timeout(patience, answered).await.is_ok()
}

fn report(
    asked: usize,
    took: Duration,
    tally: &mut Tally,
    memory: &[f64],
    recovered: Option<Duration>,
) {
    let answered = tally.first_tokens.len();
    println!(
        "{OVERLOAD} times the capacity of {CAPACITY:.0} requests/s for {took:.0?}: {asked} asked, {answered} answered \
         ({:.0}/s), {} refused, {} failed",
        answered as f64 / took.as_secs_f64(),
        tally.num_refused,
        tally.failures.len()
    );
    if let Some(why) = tally.failures.first() {
        println!("  the first failure: {why}");
    }
    if answered > 0 {
        let [p50, p99, most] =
            [50, 99, 100].map(|percent| quantile(&mut tally.first_tokens, percent));
        // Whoever is taken waits for those before, and no longer.
        let bound = Duration::from_secs_f64((MAX_RUNNING + MAX_WAITING) as f64 / CAPACITY);
        println!(
            "  first token P50 {p50:.0?}, P99 {p99:.0?}, most {most:.0?}; a full queue takes {bound:.0?}"
        );
    }
    if let (Some(first), Some(last)) = (memory.get(memory.len() / 4), memory.last()) {
        println!(
            "  resident memory {first:.0} MiB after a quarter of the time, {last:.0} MiB at the end"
        );
    }
    match recovered {
        Some(after) => {
            println!("  answered again {after:.0?} after the load's end (goal: {RECOVERY:.0?})")
        }
        None => println!("  not answered again after the load"),
    }
}

/// Of this process, the clients in it too.
fn resident_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}
