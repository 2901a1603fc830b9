//! What measuring a kernel gives.

/// How long one launch takes.
#[derive(Clone, Debug)]
pub struct Timing {
    /// What was launched.
    pub op: String,
    /// On what.
    pub shape: String,
    /// Microseconds: the median of several graphs of many launches.
    pub us: f64,
    /// What has to be done at least.
    pub work: Work,
}

/// What limits a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// Bytes that have to be moved, each once.
    Bytes(usize),
    /// Multiplications and additions.
    Flop(f64),
}

impl Timing {
    /// Bytes or operations a second.
    pub fn rate(&self) -> f64 {
        let work = match self.work {
            Work::Bytes(bytes) => bytes as f64,
            Work::Flop(flop) => flop,
        };
        work / self.us * 1e6
    }
}
