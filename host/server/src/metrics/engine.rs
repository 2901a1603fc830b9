//! What the engine shows, under vLLM's names where it shows the same.

use engine::{EngineHandle, stats::StatsSnapshot};
use prometheus_client::{
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

pub(super) fn register(registry: &mut Registry, engine: &EngineHandle) {
    let stats = engine.stats();
    let num_blocks = engine.limits().num_blocks;
    for (name, help, value) in gauges(&stats, num_blocks) {
        registry.register(name, help, ConstGauge::new(value as i64));
    }
    registry.register(
        "vllm:kv_cache_usage_perc",
        "Share of the cache's blocks that sequences own, 0 to 1",
        ConstGauge::new(stats.used_blocks as f64 / num_blocks as f64),
    );
    for (name, help, value) in counters(&stats) {
        registry.register(name, help, ConstCounter::new(value));
    }
}

type Figure<N> = (&'static str, &'static str, N);

fn gauges(stats: &StatsSnapshot, num_blocks: usize) -> [Figure<usize>; 5] {
    [
        (
            "vllm:num_requests_running",
            "Sequences that take part in steps",
            stats.running,
        ),
        (
            "vllm:num_requests_waiting",
            "Sequences that wait for a place or for blocks",
            stats.waiting,
        ),
        (
            "host_kv_blocks_used",
            "Cache blocks that sequences own",
            stats.used_blocks,
        ),
        (
            "host_kv_blocks_cached",
            "Cache blocks, used or not, that a prompt can find",
            stats.cached_blocks,
        ),
        ("host_kv_blocks", "Cache blocks in all", num_blocks),
    ]
}

fn counters(stats: &StatsSnapshot) -> [Figure<u64>; 11] {
    [
        (
            "vllm:num_preemptions",
            "Sequences put back because blocks ran out",
            stats.preemptions,
        ),
        (
            "vllm:prefix_cache_queries",
            "Prompt tokens looked up in the cache",
            stats.prefix_queries,
        ),
        (
            "vllm:prefix_cache_hits",
            "Prompt tokens found in the cache",
            stats.prefix_hits,
        ),
        (
            "vllm:spec_decode_num_drafts",
            "Times that tokens were guessed for a sequence",
            stats.drafts,
        ),
        (
            "vllm:spec_decode_num_draft_tokens",
            "Tokens guessed",
            stats.draft_tokens,
        ),
        (
            "vllm:spec_decode_num_accepted_tokens",
            "Tokens guessed right",
            stats.accepted_tokens,
        ),
        (
            "host_kv_block_evictions",
            "Cached blocks given away for something else",
            stats.evictions,
        ),
        ("host_engine_steps", "Steps executed", stats.steps),
        (
            "host_engine_computed_tokens",
            "Tokens computed: prompts, answers and guesses",
            stats.computed_tokens,
        ),
        (
            "host_engine_late_masks",
            "Rows computed in vain, since their constraint had not been moved on by their end",
            stats.late_masks,
        ),
        (
            "host_engine_failed_rows",
            "Rows of steps that failed, each of which ended its sequence",
            stats.failed_rows,
        ),
    ]
}
