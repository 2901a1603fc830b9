//! What the engine shows, under vLLM's names where it shows the same.

use engine::{
    EngineHandle,
    stats::{STEP_LEN_BOUNDS, StatsSnapshot},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::ConstCounter,
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};

use super::counted::Counted;

/// Our own figures.
pub(super) fn register(registry: &mut Registry, engine: &EngineHandle) {
    let stats = engine.stats();
    for (name, help, value) in gauges(&stats, engine.limits().num_blocks) {
        registry.register(name, help, ConstGauge::new(value as i64));
    }
    for (name, help, value) in counters(&stats) {
        registry.register(name, help, ConstCounter::new(value));
    }
}

/// Those that vLLM has too.
pub(super) fn register_like_vllm(registry: &mut Registry, engine: &EngineHandle) {
    let stats = engine.stats();
    let limits = engine.limits();
    for (name, help, value) in [
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
    ] {
        registry.register(name, help, ConstGauge::new(value as i64));
    }
    registry.register(
        "vllm:kv_cache_usage_perc",
        "Share of the cache's blocks that sequences own, 0 to 1",
        ConstGauge::new(stats.used_blocks as f64 / limits.num_blocks as f64),
    );
    for (name, help, value) in counters_like_vllm(&stats) {
        registry.register(name, help, ConstCounter::new(value));
    }
    let bounds = STEP_LEN_BOUNDS.map(|bound| bound as f64);
    registry.register(
        "vllm:iteration_tokens_total",
        "Tokens computed in a step",
        Counted::new(stats.computed_tokens as f64, bounds, &stats.steps_by_len),
    );
    let cache = Family::<Cache, Gauge>::default();
    let labels = Cache {
        block_size: limits.block_len,
        num_gpu_blocks: limits.num_blocks,
        // As Python writes it.
        enable_prefix_caching: match engine.kv_events() {
            Some(_) => "True",
            None => "False",
        },
    };
    cache.get_or_create(&labels).set(1);
    registry.register("vllm:cache_config_info", "The shape of the cache", cache);
}

/// What vLLM tells of its cache, as far as this one has it.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Cache {
    block_size: usize,
    num_gpu_blocks: usize,
    enable_prefix_caching: &'static str,
}

type Figure<N> = (&'static str, &'static str, N);

fn gauges(stats: &StatsSnapshot, num_blocks: usize) -> [Figure<usize>; 3] {
    [
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

fn counters_like_vllm(stats: &StatsSnapshot) -> [Figure<u64>; 6] {
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
    ]
}

fn counters(stats: &StatsSnapshot) -> [Figure<u64>; 5] {
    [
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
