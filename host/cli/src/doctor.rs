//! `host doctor`: what this machine has to offer.

use anyhow::Result;
use kernels::cuda::{Device, KernelSource, Libraries};

/// Says what there is, and what is missing for what.
pub(crate) fn run() -> Result<()> {
    println!("host {}", env!("CARGO_PKG_VERSION"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("CPU: {cores} cores, {}", model::instruction_set());
    let libraries = Libraries::find();
    let found = |is_there: bool| if is_there { "found" } else { "not found" };
    println!("NVIDIA driver (libcuda.so.1): {}", found(libraries.driver));
    println!(
        "libcublasLt.so.13, for prompts and wide batches: {}",
        found(libraries.cublas_lt)
    );
    let kernels = match KernelSource::of_this_process() {
        KernelSource::BuiltIn => "built in".to_owned(),
        KernelSource::Nvrtc => format!(
            "compiled at start by libnvrtc.so.13, which is {}",
            found(libraries.nvrtc)
        ),
    };
    println!("GPU kernels: {kernels}");
    if !Device::is_present() {
        println!("GPU: none; models are computed on the CPU");
        return Ok(());
    }
    let device = Device::open()?;
    let ((major, minor), driver) = (device.compute_capability(), device.driver_version()?);
    let (free, total) = device.memory()?;
    let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
    println!(
        "GPU: {}, compute capability {major}.{minor}, {} multiprocessors",
        device.name()?,
        device.num_sms()
    );
    println!("memory: {:.1} of {:.1} GiB free", gib(free), gib(total));
    println!(
        "driver's CUDA version: {}.{}",
        driver / 1000,
        driver % 1000 / 10
    );
    Ok(())
}
