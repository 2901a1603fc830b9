//! Each GPU kernel, timed.

use anyhow::Result;

use crate::args::KernelBenchArgs;

pub(crate) fn run(_args: &KernelBenchArgs) -> Result<()> {
    anyhow::bail!("to come")
}
