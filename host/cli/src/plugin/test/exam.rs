//! The test itself: the author's cases, timed, and then the inputs that are made to harm.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sandbox::{
    AotCache, Fault, KeyValueStore, Limits, Loader, PluginError, PluginLimits, PluginSpec, Sandbox,
};

use super::{
    cases::{self, Case, Comparison},
    plan::Plan,
    report::{Report, Verdict},
    subject::{Seen, Subject, Torture},
    timings::Timings,
};

/// Instances at once: there is one, and that of the call before may not be gone yet.
const MAX_INSTANCES: u32 = 16;

/// What a plugin may keep, in bytes.
const QUOTA: u64 = 16 << 20;

/// A time in which no plugin gets far.
const LITTLE_TIME: Duration = Duration::from_millis(10);

/// Most lines of a plugin's log that are shown with a failure.
const LOG_LINES: usize = 10;

/// WebAssembly memory grows in pages of this size.
const PAGE: u64 = 64 << 10;

/// What a plugin under torture may use.
#[derive(Clone, Copy)]
enum Regime {
    /// What it may use when it serves.
    Usual,
    /// No more memory than it starts with.
    LittleMemory,
    /// [`LITTLE_TIME`].
    LittleTime,
}

/// Runs all that is wanted of a plugin of this role.
pub(super) async fn run<S: Subject>(plan: &Plan, report: &mut Report) -> Result<()> {
    let kept = tempfile::tempdir().context("cannot make a temporary folder")?;
    let sandbox = sandbox(kept.path().join("pairs"))?;
    // The same code is loaded three times and compiled once.
    let cache = AotCache::open(kept.path().join("code"))?;
    let loader = Loader::new(sandbox.clone(), Some(cache));
    let load = |limits| {
        let spec = PluginSpec {
            limits,
            ..plan.spec.clone()
        };
        S::load(&loader, spec, plan.wasm.clone())
    };

    let plugin = load(PluginLimits::default()).await?;
    let at_rest = peak_memory_bytes(&sandbox, plan);
    let cases: Vec<Case<S::Input>> = match &plan.cases {
        Some(folder) => cases::read(folder)?,
        None => Vec::new(),
    };
    let mut timings = Timings::default();
    let mut log = Log {
        plugin: plan.spec.name.to_string(),
        last: 0,
    };
    for case in cases.iter().filter(|case| plan.wants(&case.name)) {
        let verdict = try_case(&plugin, case, plan, &mut timings).await?;
        report.add(plan, &case.name, verdict, &log.since_last(&sandbox));
    }
    let inputs: Vec<S::Input> = cases.into_iter().map(|case| case.input).collect();

    let little_memory = load(PluginLimits {
        memory_bytes: Some(at_rest.next_multiple_of(PAGE) as usize),
        ..PluginLimits::default()
    });
    let little_memory = little_memory.await;
    let little_time = load(PluginLimits {
        cpu_budget: Some(LITTLE_TIME),
        wall_deadline: Some(LITTLE_TIME),
        ..PluginLimits::default()
    });
    let little_time = little_time.await;
    for torture in plugin.torture(&inputs) {
        for (regime, plugin) in [
            (Regime::Usual, Ok(&plugin)),
            (Regime::LittleMemory, little_memory.as_ref()),
            (Regime::LittleTime, little_time.as_ref()),
        ] {
            let name = format!("torture/{}{}", torture.name, regime.suffix());
            if plan.wants(&name) {
                let verdict = apply(&torture, plugin, regime).await;
                report.add(plan, &name, verdict, &log.since_last(&sandbox));
            }
        }
    }
    ensure!(
        report.num_results() > 0,
        "nothing has `{}` in its name: leave --only out to see all names",
        plan.only.as_deref().unwrap_or_default()
    );
    report.measured(timings.phases(), peak_memory_bytes(&sandbox, plan));
    Ok(())
}

fn sandbox(pairs: std::path::PathBuf) -> Result<Sandbox> {
    let few = |limits| Limits {
        max_instances: MAX_INSTANCES,
        ..limits
    };
    let pairs = KeyValueStore::open(pairs, QUOTA)?;
    Ok(Sandbox::new(
        few(Limits::default()),
        few(Limits::for_functions()),
        Some(pairs),
    )?)
}

fn peak_memory_bytes(sandbox: &Sandbox, plan: &Plan) -> u64 {
    let stats = sandbox.stats();
    let own = stats.iter().find(|stats| *stats.plugin == *plan.spec.name);
    own.map_or(0, |stats| stats.peak_memory_bytes)
}

/// What the plugin under test logs.
struct Log {
    plugin: String,
    /// The last line that was looked at.
    last: u64,
}

impl Log {
    /// The last lines since this was called before.
    fn since_last(&mut self, sandbox: &Sandbox) -> Vec<String> {
        let book = sandbox.logs(&self.plugin);
        let lines = book.map_or(Vec::new(), |book| book.after(self.last));
        self.last = lines.last().map_or(self.last, |line| line.sequence);
        let last = lines.iter().rev().take(LOG_LINES).rev();
        last.map(|line| format!("{} {}", line.level.as_str(), line.text))
            .collect()
    }
}

/// Runs a case, and again for its times if it went well.
async fn try_case<S: Subject>(
    plugin: &S,
    case: &Case<S::Input>,
    plan: &Plan,
    timings: &mut Timings,
) -> Result<Verdict> {
    // The first call is slower than those that a server makes all day, and does not count.
    let Seen { snapshot, summary } = match plugin
        .call(case.input.clone(), &mut Timings::default())
        .await
    {
        Ok(seen) => seen,
        Err(error) => return Ok(Verdict::Broke(error)),
    };
    let verdict = match case.compare(&snapshot, plan.blessing)? {
        Comparison::Same => Verdict::Passed(summary),
        Comparison::Blessed => Verdict::Passed(format!("{summary}; blessed")),
        Comparison::Other(why) => return Ok(Verdict::Failed(why)),
    };
    for _ in 0..plan.repeat {
        if let Err(error) = plugin.call(case.input.clone(), timings).await {
            return Ok(Verdict::Broke(error));
        }
    }
    Ok(verdict)
}

/// Gives a plugin all inputs of one kind. A value and a refusal are both right; a failure is so only where a limit is meant to
/// be reached, and is that limit's.
async fn apply<S: Subject>(
    torture: &Torture<S::Input>,
    plugin: Result<&S, &PluginError>,
    regime: Regime,
) -> Verdict {
    let plugin = match plugin {
        Ok(plugin) => plugin,
        Err(error) => return regime.judge(error.clone()),
    };
    let mut summaries: Vec<String> = Vec::new();
    for input in &torture.inputs {
        let summary = match plugin.call(input.clone(), &mut Timings::default()).await {
            Ok(seen) => seen.summary,
            Err(error) => match regime.judge(error) {
                Verdict::Passed(summary) => summary,
                failed => return failed,
            },
        };
        if !summaries.contains(&summary) {
            summaries.push(summary);
        }
    }
    Verdict::Passed(summaries.join("; "))
}

impl Regime {
    fn suffix(self) -> &'static str {
        match self {
            Regime::Usual => "",
            Regime::LittleMemory => "/little-memory",
            Regime::LittleTime => "/little-time",
        }
    }

    fn judge(self, error: PluginError) -> Verdict {
        let meant = match (self, &error.fault) {
            (Regime::LittleMemory, Fault::Memory(_)) => true,
            (Regime::LittleTime, Fault::Timeout(_) | Fault::CpuBudget(_)) => true,
            (Regime::Usual | Regime::LittleMemory | Regime::LittleTime, _) => false,
        };
        match meant {
            true => Verdict::Passed(format!("ended by its limit in `{}`", error.phase)),
            false => Verdict::Broke(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use sandbox::Phase;

    use super::*;

    fn passes(regime: Regime, fault: Fault) -> bool {
        let error = PluginError {
            plugin: "p".into(),
            phase: Phase::Shape,
            fault,
            backtrace: None,
        };
        matches!(regime.judge(error), Verdict::Passed(_))
    }

    #[test]
    fn a_fault_is_right_only_as_the_limit_that_was_meant_to_be_reached() {
        assert!(passes(Regime::LittleMemory, Fault::Memory(1)));
        assert!(passes(Regime::LittleTime, Fault::Timeout(LITTLE_TIME)));
        assert!(passes(Regime::LittleTime, Fault::CpuBudget(LITTLE_TIME)));
        for fault in [
            Fault::Memory(1),
            Fault::Timeout(LITTLE_TIME),
            Fault::CpuBudget(LITTLE_TIME),
            Fault::Trap("unreachable".into()),
            Fault::Contract("a header".into()),
        ] {
            assert!(!passes(Regime::Usual, fault));
        }
        assert!(!passes(
            Regime::LittleMemory,
            Fault::Trap("unreachable".into())
        ));
        assert!(!passes(Regime::LittleTime, Fault::Memory(1)));
    }
}
