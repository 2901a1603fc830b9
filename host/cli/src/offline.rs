//! `host benchmark engine`, `kernels`, `tune` and `greedy`: measurements in this process, without HTTP.

pub(crate) mod engine;
pub(crate) mod greedy;
pub(crate) mod kernels;
pub(crate) mod tune;

use ::engine::{Caching, ChosenToken, EngineConfig, EngineHandle, Event, Generation, Scheduling};
use anyhow::Result;
use model::cuda::Summary;

use crate::{
    args::ModelArgs,
    wire::{EngineThread, Loaded, StepLimits, num_constraint_threads},
};

/// Starts an engine that computes every prompt from its beginning.
fn start(args: &ModelArgs) -> Result<(EngineHandle, EngineThread, StepLimits, Option<Summary>)> {
    let (loaded, limits) = Loaded::open(args)?;
    let summary = loaded.summary().cloned();
    let config = EngineConfig {
        max_num_seqs: limits.max_num_seqs,
        max_num_batched_tokens: limits.max_num_batched_tokens,
        scheduling: Scheduling::Fcfs,
        prefix_caching: Caching::Off,
        overlap: loaded.overlaps(),
        num_constraint_threads: num_constraint_threads(),
        model: loaded.path().display().to_string(),
        ..EngineConfig::default()
    };
    let (engine, thread) = loaded.start(config);
    Ok((engine, thread, limits, summary))
}

/// Calls `token` with each token of a generation, until it ends.
async fn each_token(mut generation: Generation, mut token: impl FnMut(ChosenToken)) -> Result<()> {
    let mut events = Vec::new();
    while generation.next(&mut events).await {
        for event in events.drain(..) {
            match event {
                Event::Token(chosen) => token(chosen),
                Event::Failed(error) => return Err(error.into()),
                Event::Started { .. } | Event::Prompt(_) | Event::Finished { .. } => {}
            }
        }
    }
    Ok(())
}

/// Ids that look random, the same for the same seed.
fn random_prompt(seed: u64, len: usize, vocab_len: usize) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % vocab_len as u64) as u32
    };
    std::iter::repeat_with(next).take(len).collect()
}
