//! What is shown on stderr while the run goes on: a bar on a terminal, ten lines elsewhere.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::measurement::Outcome;

/// Counts finished requests and shows them.
pub(crate) struct Progress {
    /// Absent where stderr is not a terminal.
    bar: Option<ProgressBar>,
    started: Instant,
    total: u32,
    done: u32,
    failed: u32,
    tokens: u64,
}

impl Progress {
    pub(crate) fn new(total: u32) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{elapsed:>4} [{bar:30}] {pos}/{len} {msg}")
                .expect("the template is valid");
            let bar = ProgressBar::new(total.into()).with_style(style);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Progress {
            bar,
            started: Instant::now(),
            total,
            done: 0,
            failed: 0,
            tokens: 0,
        }
    }

    /// Takes note of a request that has ended.
    pub(crate) fn record(&mut self, outcome: &Outcome) {
        let tenth = self.tenth();
        self.done += 1;
        match &outcome.result {
            Ok(measurement) => self.tokens += measurement.tokens(),
            Err(_) => self.failed += 1,
        }
        let text = format!("{} failed, {:.1} tok/s", self.failed, self.tps());
        match &self.bar {
            Some(bar) => {
                bar.set_message(text);
                bar.inc(1);
            }
            None if self.tenth() != tenth => {
                say(&format!("{}/{} done, {text}", self.done, self.total));
            }
            None => {}
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn tenth(&self) -> u64 {
        u64::from(self.done) * 10 / u64::from(self.total)
    }

    fn tps(&self) -> f64 {
        self.tokens as f64 / self.started.elapsed().as_secs_f64()
    }
}

/// Writes one line to stderr.
pub(crate) fn say(line: &str) {
    // Talk that nobody can hear is no reason to stop measuring, so a closed stderr is ignored.
    let _ = writeln!(std::io::stderr(), "{line}");
}
