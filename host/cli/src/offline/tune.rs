//! Faster tilings of the GPU's matrix products, found inside whole decode steps.

use anyhow::Result;
use engine::ModelRunner;

use crate::{args::TuneArgs, wire::Loaded};

pub(crate) fn run(args: &TuneArgs) -> Result<()> {
    let (loaded, _) = Loaded::open(&args.model)?;
    let Loaded::Cuda(mut loaded) = loaded else {
        anyhow::bail!("there is nothing to tune on the CPU");
    };
    let limits = loaded.runner.limits().clone();
    println!("{}", loaded.runner.summary().device);
    for &num_rows in &args.batch_sizes {
        let fits = num_rows * args.context.div_ceil(limits.block_len) <= limits.num_blocks;
        anyhow::ensure!(
            (1..=64).contains(&num_rows)
                && (1..=limits.max_model_len).contains(&args.context)
                && fits,
            "{num_rows} sequences of {} tokens: give 1 to 64 sequences that the cache holds",
            args.context,
        );
        let tuned = loaded.runner.tune(num_rows, args.context)?;
        println!(
            "{num_rows:>3} rows, context {}: {:.3} -> {:.3} ms",
            tuned.context, tuned.ms_before, tuned.ms_after
        );
        for (n, k, tiling) in tuned.better {
            println!("    {n} x {k}: {tiling}");
        }
    }
    Ok(())
}
