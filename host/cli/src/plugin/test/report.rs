//! What came of a test, for people as it comes, and for programs when all is over.

use sandbox::PluginError;
use serde_json::{Value, json};

use super::{plan::Plan, timings::PhaseTimes};

/// The results so far.
pub(super) struct Report {
    json: bool,
    results: Vec<Value>,
    num_failed: usize,
    phases: Vec<PhaseTimes>,
    peak_memory_bytes: u64,
}

/// How one thing went.
pub(super) enum Verdict {
    /// As it should: what came of it, in a few words.
    Passed(String),
    /// The plugin did something else than is expected; why.
    Failed(String),
    /// The plugin failed.
    Broke(PluginError),
}

impl Report {
    /// `json`: print at the end, and JSON.
    pub(super) fn new(json: bool) -> Report {
        Report {
            json,
            results: Vec::new(),
            num_failed: 0,
            phases: Vec::new(),
            peak_memory_bytes: 0,
        }
    }

    /// `log`: what the plugin logged meanwhile.
    pub(super) fn add(&mut self, plan: &Plan, name: &str, verdict: Verdict, log: &[String]) {
        let mut result = json!({"name": name, "passed": true});
        let (why, error) = match verdict {
            Verdict::Passed(summary) => {
                if !self.json {
                    println!("ok    {name:<40} {summary}");
                }
                result["outcome"] = summary.into();
                self.results.push(result);
                return;
            }
            Verdict::Failed(why) => (why, None),
            Verdict::Broke(error) => (error.to_string(), Some(error)),
        };
        let again = plan.again(name);
        let backtrace = error.as_ref().and_then(|error| error.backtrace.as_deref());
        if !self.json {
            println!("FAIL  {name}");
            indented(&why);
            if let Some(backtrace) = backtrace {
                indented(&format!("in the guest:\n{backtrace}"));
            }
            if !log.is_empty() {
                indented(&format!("its log:\n{}", log.join("\n")));
            }
            indented(&format!("again: {again}"));
        }
        result["passed"] = false.into();
        result["why"] = why.into();
        result["again"] = again.into();
        result["backtrace"] = backtrace.into();
        result["log"] = log.into();
        if let Some(error) = &error {
            result["phase"] = error.phase.as_str().into();
            result["fault"] = error.fault.label().into();
        }
        self.results.push(result);
        self.num_failed += 1;
    }

    /// What was measured.
    pub(super) fn measured(&mut self, phases: Vec<PhaseTimes>, peak_memory_bytes: u64) {
        self.phases = phases;
        self.peak_memory_bytes = peak_memory_bytes;
    }

    pub(super) fn num_failed(&self) -> usize {
        self.num_failed
    }

    pub(super) fn num_results(&self) -> usize {
        self.results.len()
    }

    /// Prints what is known only now.
    pub(super) fn finish(&self, plan: &Plan) {
        let passed = self.results.len() - self.num_failed;
        if self.json {
            let micros = |time: std::time::Duration| time.as_nanos() as f64 / 1000.0;
            let phases = self.phases.iter().map(|times| {
                json!({
                    "phase": times.phase.as_str(),
                    "calls": times.calls,
                    "p50_us": micros(times.p50),
                    "p99_us": micros(times.p99),
                })
            });
            let report = json!({
                "component": plan.component.display().to_string(),
                "digest": plan.digest,
                "role": plan.role,
                "results": self.results,
                "phases": phases.collect::<Vec<_>>(),
                "peak_memory_bytes": self.peak_memory_bytes,
                "passed": passed,
                "failed": self.num_failed,
            });
            return println!("{report}");
        }
        if !self.phases.is_empty() {
            println!(
                "\n{:<22} {:>7} {:>12} {:>12}",
                "PHASE", "CALLS", "P50", "P99"
            );
        }
        for times in &self.phases {
            println!(
                "{:<22} {:>7} {:>12} {:>12}",
                times.phase.as_str(),
                times.calls,
                format!("{:.1?}", times.p50),
                format!("{:.1?}", times.p99)
            );
        }
        println!(
            "\n{passed} passed, {} failed; most memory of an instance: {:.1} MiB",
            self.num_failed,
            self.peak_memory_bytes as f64 / f64::from(1 << 20)
        );
    }
}

fn indented(text: &str) {
    for line in text.lines() {
        println!("      {line}");
    }
}
