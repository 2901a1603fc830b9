use std::time::Instant;

use clap::Parser;

use super::*;
use crate::{
    chunk::{Chunk, Usage},
    error::Failure,
    measurement::Stopwatch,
};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: BenchmarkArgs,
}

/// A request with text after each of `text_at` milliseconds, `[DONE]` at `done` and a usage of 5 + 4 tokens.
fn ok(index: u32, text_at: &[u64], done: u64) -> Outcome {
    let sent = Instant::now();
    let mut stopwatch = Stopwatch::start(sent);
    for &at in text_at {
        let usage = Some(Usage {
            prompt_tokens: 5,
            completion_tokens: 4,
        });
        let chunk = Chunk {
            has_text: true,
            usage,
        };
        stopwatch.record(sent + Duration::from_millis(at), chunk);
    }
    let result = Ok(stopwatch.stop(sent + Duration::from_millis(done)));
    Outcome { index, result }
}

fn failed(index: u32, message: &str) -> Outcome {
    let result = Err(Failure::Status {
        status: 500,
        message: message.into(),
    });
    Outcome { index, result }
}

fn report(flags: &[&str], outcomes: &[Outcome]) -> Report {
    let words = std::iter::once("benchmark").chain(flags.iter().copied());
    let args = Cli::parse_from(words).args;
    let start = "2026-01-02T03:04:05Z".to_owned();
    Report::new(&args, "m", start, Duration::from_millis(1600), outcomes)
}

fn mixed() -> [Outcome; 4] {
    [
        ok(0, &[10, 20], 70),
        failed(1, "busy"),
        ok(2, &[30, 80], 120),
        failed(3, "busy"),
    ]
}

#[test]
fn the_json_report_of_a_known_run_is_this() {
    let json = report(&["--save-detailed"], &mixed()).to_json();
    assert_eq!(json, include_str!("snapshot.json").trim_end());
}

#[test]
fn the_table_of_a_known_run_is_this() {
    let table = report(&[], &mixed()).to_string();
    assert_eq!(table, include_str!("snapshot.txt"));
}

#[test]
fn requests_are_listed_only_when_asked_for() {
    assert_eq!(report(&[], &mixed()).requests, None);
}

#[test]
fn a_run_without_any_success_has_no_times() {
    let report = report(&[], &[failed(0, "a"), failed(1, "b"), failed(2, "b")]);
    assert_eq!((report.total_requests, report.failed_requests), (3, 3));
    assert_eq!((report.tps, report.usage_reported), (0.0, false));
    assert_eq!((report.avg_latency_ms, report.p99_tpot_ms), (None, None));
    assert_eq!(report.most_frequent_error(), Some("HTTP 500: b"));
}
