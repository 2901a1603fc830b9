//! The kernels' machine code: compiled in, or made by NVRTC.

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// One `.cu` file.
pub(super) struct Module {
    pub(super) name: &'static str,
    /// Whether it uses what only compute capability 9.0 has.
    pub(super) is_hopper_only: bool,
    pub(super) source: &'static str,
    /// A fatbin, where nvcc was there at build time.
    pub(super) image: Option<&'static [u8]>,
}

/// Where a device's kernels come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelSource {
    /// Compiled by nvcc when this program was built.
    BuiltIn,
    /// Compiled on this machine by NVRTC.
    Nvrtc,
}

impl KernelSource {
    /// NVRTC for a binary that was built without nvcc, or where `HOST_CUDA_NVRTC` is set, which is how to try that.
    pub fn of_this_process() -> Self {
        let is_complete = MODULES.iter().all(|module| module.image.is_some());
        match is_complete && std::env::var_os("HOST_CUDA_NVRTC").is_none() {
            true => Self::BuiltIn,
            false => Self::Nvrtc,
        }
    }
}
