//! The report for eyes.

use std::fmt;

use super::Report;
use crate::error::one_line;

/// Distinct failures shown in the table; the JSON report has all.
const SHOWN_ERRORS: usize = 5;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.usage_reported || self.successful_requests == 0 {
            true => "tokens",
            false => "tokens (chunks counted where the server sent no usage)",
        };
        writeln!(f, "server       {}", self.base_url)?;
        writeln!(f, "model        {}", one_line(&self.model))?;
        writeln!(
            f,
            "requests     {} ok, {} failed, {} in flight, {:.2} s",
            self.successful_requests, self.failed_requests, self.concurrency, self.duration_s
        )?;
        writeln!(
            f,
            "prompt       {} tokens\ngenerated    {} {unit}",
            self.prompt_tokens, self.total_tokens
        )?;
        writeln!(
            f,
            "throughput   {:.1} tok/s, {:.2} requests/s",
            self.tps, self.request_throughput
        )?;
        writeln!(
            f,
            "average      {} tokens per request, {} per chunk",
            number(self.avg_tokens_per_request),
            number(self.tokens_per_chunk)
        )?;
        let columns = ["mean", "p50", "p90", "p99"];
        row(f, "ms", columns.map(String::from))?;
        for (name, times) in [
            (
                "latency",
                [
                    self.avg_latency_ms,
                    self.p50_latency_ms,
                    self.p90_latency_ms,
                    self.p99_latency_ms,
                ],
            ),
            (
                "ttft",
                [
                    self.mean_ttft_ms,
                    self.p50_ttft_ms,
                    self.p90_ttft_ms,
                    self.p99_ttft_ms,
                ],
            ),
            (
                "itl",
                [
                    self.mean_itl_ms,
                    self.p50_itl_ms,
                    self.p90_itl_ms,
                    self.p99_itl_ms,
                ],
            ),
            (
                "tpot",
                [
                    self.mean_tpot_ms,
                    self.p50_tpot_ms,
                    self.p90_tpot_ms,
                    self.p99_tpot_ms,
                ],
            ),
        ] {
            row(f, name, times.map(number))?;
        }

        let mut errors: Vec<_> = self.errors.iter().collect();
        errors.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (message, count) in errors.iter().take(SHOWN_ERRORS) {
            writeln!(f, "failed {count:>5}  {message}")?;
        }
        if errors.len() > SHOWN_ERRORS {
            let hidden = errors.len() - SHOWN_ERRORS;
            writeln!(f, "and {hidden} more kinds of failure: see --json")?;
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, cells: [String; 4]) -> fmt::Result {
    let [a, b, c, d] = cells;
    writeln!(f, "{name:<8}{a:>12}{b:>12}{c:>12}{d:>12}")
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.2}"))
}
