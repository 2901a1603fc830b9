//! One loaded model for many engines, one after the other: loading it for each would take longer than all they compute.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
    mpsc::{Receiver, Sender, channel},
};

use engine::{
    ModelRunner, RunnerLimits,
    runner::{RowOutcome, Step, StepError},
};
use model::CpuRunner;

/// Where a runner is while no engine has it.
pub(crate) struct Home {
    inside: Mutex<Receiver<CpuRunner>>,
    door: Mutex<Sender<CpuRunner>>,
}

impl Home {
    pub(crate) fn new(runner: CpuRunner) -> Self {
        let (door, inside) = channel();
        door.send(runner).expect("its receiver is here");
        Self {
            inside: Mutex::new(inside),
            door: Mutex::new(door),
        }
    }

    /// Waits until the last borrower has given the runner back, then uses it without an engine.
    pub(crate) fn with<T>(&self, use_it: impl FnOnce(&mut CpuRunner) -> T) -> T {
        let gate = Gate {
            before_step: usize::MAX,
            reached: channel().0,
            opens: channel().1,
        };
        use_it(self.lend(1, gate).runner())
    }

    /// Waits until the last borrower has given the runner back, then lends it, with only `num_blocks` of its blocks.
    pub(crate) fn lend(&self, num_blocks: usize, gate: Gate) -> Lent {
        let inside = self.inside.lock().expect("nobody panics while waiting");
        let runner = inside.recv().expect("its sender is here");
        let door = self.door.lock().expect("a clone does not panic").clone();
        let limits = runner.limits().clone();
        assert!(num_blocks <= limits.num_blocks, "there are not as many");
        Lent {
            limits: RunnerLimits {
                num_blocks,
                ..limits
            },
            runner: Some(runner),
            door,
            gate: Some(gate),
            seen: Arc::default(),
        }
    }
}

/// Holds a runner up before one step, until the test says go: so that a test can be sure of what comes midway.
pub(crate) struct Gate {
    pub(crate) before_step: usize,
    pub(crate) reached: Sender<()>,
    pub(crate) opens: Receiver<()>,
}

/// What the steps of a lent runner looked like.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    num_steps: AtomicUsize,
    most_rows: AtomicUsize,
    longest_row: AtomicUsize,
}

impl Seen {
    /// The most rows of a step.
    pub(crate) fn most_rows(&self) -> usize {
        self.most_rows.load(Ordering::Relaxed)
    }

    /// The most tokens of a row, drafts not counted.
    pub(crate) fn longest_row(&self) -> usize {
        self.longest_row.load(Ordering::Relaxed)
    }
}

/// A runner that goes home when its engine ends.
pub(crate) struct Lent {
    limits: RunnerLimits,
    /// `None` once dropped.
    runner: Option<CpuRunner>,
    door: Sender<CpuRunner>,
    /// `None` once passed.
    gate: Option<Gate>,
    pub(crate) seen: Arc<Seen>,
}

impl Lent {
    fn runner(&mut self) -> &mut CpuRunner {
        self.runner.as_mut().expect("only drop takes it")
    }
}

impl ModelRunner for Lent {
    fn limits(&self) -> &RunnerLimits {
        &self.limits
    }

    fn launch(&mut self, step: &Step<'_>) {
        let number = self.seen.num_steps.fetch_add(1, Ordering::Relaxed);
        if let Some(gate) = self.gate.take_if(|gate| gate.before_step == number) {
            // A test that has failed neither listens nor opens.
            let _ = gate.reached.send(());
            let _ = gate.opens.recv();
        }
        let longest = step.rows.iter().map(|row| row.len).max().unwrap_or(0);
        self.seen.longest_row.fetch_max(longest, Ordering::Relaxed);
        let num_rows = step.rows.len();
        self.seen.most_rows.fetch_max(num_rows, Ordering::Relaxed);
        self.runner().launch(step);
    }

    fn collect(&mut self) -> Result<Vec<RowOutcome>, StepError> {
        self.runner().collect()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let runner = self.runner.take().expect("it is dropped once");
        // At the process's end nobody is at home.
        let _ = self.door.send(runner);
    }
}
