//! A model that takes its time.

use std::time::{Duration, Instant};

use engine::{
    ModelRunner, RunnerLimits,
    fake::FakeRunner,
    runner::{RowOutcome, Step, StepError},
};

/// Each step takes this long, whatever is in it.
pub(crate) struct Paced {
    inner: FakeRunner,
    step: Duration,
    began: Instant,
}

impl Paced {
    pub(crate) fn new(inner: FakeRunner, step: Duration) -> Self {
        Self {
            inner,
            step,
            began: Instant::now(),
        }
    }
}

impl ModelRunner for Paced {
    fn limits(&self) -> &RunnerLimits {
        self.inner.limits()
    }

    fn launch(&mut self, step: &Step<'_>) {
        self.began = Instant::now();
        self.inner.launch(step);
    }

    fn collect(&mut self) -> Result<Vec<RowOutcome>, StepError> {
        std::thread::sleep(self.step.saturating_sub(self.began.elapsed()));
        self.inner.collect()
    }
}
