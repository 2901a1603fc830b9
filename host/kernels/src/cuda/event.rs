//! A point in the device's order of work.

use cudarc::driver::CudaEvent;

use super::CudaError;

/// A point in the stream that the host can wait for, and whose distance to another it can ask for.
pub struct Event(pub(super) CudaEvent);

impl Event {
    /// Waits until the work before it is done.
    pub fn wait(&self) -> Result<(), CudaError> {
        Ok(self.0.synchronize()?)
    }

    /// Milliseconds from this to `later`. Both must have been recorded with timing; waits for `later`.
    pub fn elapsed_ms(&self, later: &Event) -> Result<f32, CudaError> {
        Ok(self.0.elapsed_ms(&later.0)?)
    }
}
