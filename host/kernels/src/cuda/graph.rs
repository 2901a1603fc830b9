//! Work that was recorded once and is launched as a whole.

use std::sync::Arc;

use cudarc::driver::{CudaGraph, CudaStream, sys};

use super::CudaError;

/// A CUDA graph. The buffers that its kernels use must outlive it, and stay where they are.
pub struct Graph(CudaGraph);

// SAFETY: the driver does not synchronise calls on one graph; `launch` needs `&mut`, so there is one at a time.
#[allow(unsafe_code, reason = "a handle with one user at a time")]
unsafe impl Send for Graph {}

impl Graph {
    /// Records what `work` launches on `stream`, without running it. `work` must not allocate, copy from pageable memory or wait.
    pub(super) fn capture<E: From<CudaError>>(
        stream: &Arc<CudaStream>,
        work: impl FnOnce() -> Result<(), E>,
    ) -> Result<Self, E> {
        let driver = |error| E::from(CudaError::from(error));
        stream
            .begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
            .map_err(driver)?;
        let done = work();
        // Also after an error, or the stream would go on recording.
        let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0));
        done?;
        let graph = graph
            .map_err(driver)?
            .ok_or_else(|| E::from(CudaError::Driver("nothing was recorded".into())))?;
        graph.upload().map_err(driver)?;
        Ok(Self(graph))
    }

    /// Launches everything in it, after the work that is in the stream already.
    pub fn launch(&mut self) -> Result<(), CudaError> {
        Ok(self.0.launch()?)
    }
}
