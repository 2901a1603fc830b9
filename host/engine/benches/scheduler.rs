//! What the engine's thread does between two steps of a model, without a model.
//!
//! `cargo bench -p engine`. The bars: 100 µs for a token for each of 256 sequences, and 100 µs for the search for a prompt of
//! 8,192 tokens.

use std::{
    hint::black_box,
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use engine::{
    CacheScope, Caching, ChosenToken, EngineConfig, Event, Request, TokenId,
    block::BlockPool,
    draft::{Drafter, NgramDrafter},
    place::Place,
    runner::RowOutcome,
    scheduler::{Scheduler, StepPlan},
    sequence::{Purpose, SeqId, Sequence},
};
use tokio::sync::mpsc;

const BLOCK_LEN: usize = 16;
const PROMPT_LEN: usize = 8192;
const VOCAB_LEN: u32 = 151_936;

/// A scheduler, the clients of its sequences, and a model that says the same token for ever.
struct Bench {
    scheduler: Scheduler,
    taken: Arc<AtomicUsize>,
    arrivals: u64,
    clients: Vec<mpsc::Receiver<Event>>,
}

impl Bench {
    fn new(num_blocks: usize) -> Self {
        let config = EngineConfig {
            max_num_seqs: 256,
            max_num_batched_tokens: 1 << 20,
            ..EngineConfig::default()
        };
        let pool = BlockPool::new(num_blocks, BLOCK_LEN, Caching::On, "model");
        Self {
            scheduler: Scheduler::new(config, pool, num_blocks * BLOCK_LEN, None),
            taken: Arc::default(),
            arrivals: 0,
            clients: Vec::new(),
        }
    }

    /// A sequence that has just come, and its client is there.
    fn sequence(&mut self, prompt: Vec<TokenId>, max_tokens: usize) -> (SeqId, Sequence) {
        let id = SeqId {
            priority: 0,
            arrival: self.arrivals,
        };
        self.arrivals += 1;
        let (sender, client) = mpsc::channel(max_tokens + 2);
        self.clients.push(client);
        let request = Request {
            prompt,
            max_tokens,
            ..Request::default()
        };
        let places = Place::take(&self.taken, 1, usize::MAX);
        let place = places.expect("there is no limit").remove(0);
        (id, Sequence::new(id, None, request, sender, place).0)
    }

    fn step(&mut self) {
        let plan = self.scheduler.plan();
        let outcomes = outcomes(&plan);
        self.scheduler.commit(&plan, outcomes);
    }

    /// All clients take what has come.
    fn read(&mut self) {
        for client in &mut self.clients {
            while client.try_recv().is_ok() {}
        }
    }

    /// All clients leave.
    fn clear(&mut self) {
        self.clients.clear();
        self.scheduler.drop_unwanted(Instant::now());
        assert!(self.scheduler.is_empty());
    }
}

fn outcomes(plan: &StepPlan) -> Vec<RowOutcome> {
    let token = || ChosenToken {
        id: 7,
        logprobs: None,
    };
    let outcome = |purpose| match purpose {
        Purpose::Token => RowOutcome::Chosen(vec![token()]),
        _ => RowOutcome::Computed,
    };
    plan.rows.iter().map(|row| outcome(row.purpose)).collect()
}

/// Tokens without repetition, others for each seed.
fn text(seed: u32, len: usize) -> Vec<TokenId> {
    let token = |position: u32| (seed * 8_191 + position).wrapping_mul(2_654_435_761) % VOCAB_LEN;
    (0..len as u32).map(token).collect()
}

/// 256 sequences of 1,000 to 2,000 tokens that get a token each. Every sixteenth fills a block, which is hashed and stored.
fn decode_step(bencher: &mut Bencher<'_>) {
    let full = || {
        let mut bench = Bench::new(256 * 2_048 / BLOCK_LEN);
        for seed in 0..256 {
            // Of different lengths, so that blocks fill up at different times.
            let prompt = text(seed, 900 + seed as usize % 100);
            let (id, sequence) = bench.sequence(prompt, 1_024);
            bench.scheduler.add(id, sequence, None);
        }
        bench.step();
        bench
    };
    let mut bench = full();
    let mut steps = 1;
    bencher.iter_custom(|iterations| {
        let mut spent = Duration::ZERO;
        for _ in 0..iterations {
            if steps == 1_000 {
                bench = full();
                steps = 1;
            }
            let start = Instant::now();
            let plan = bench.scheduler.plan();
            spent += start.elapsed();
            assert_eq!(plan.rows.len(), 256);
            let outcomes = outcomes(&plan);
            let start = Instant::now();
            bench.scheduler.commit(&plan, outcomes);
            spent += start.elapsed();
            bench.read();
            steps += 1;
        }
        spent
    });
}

/// Whether the clients of 256 sequences are still there.
fn look_for_leavers(bencher: &mut Bencher<'_>) {
    let mut bench = Bench::new(1_024);
    for seed in 0..256 {
        let (id, sequence) = bench.sequence(text(seed, 16), 16);
        bench.scheduler.add(id, sequence, None);
    }
    bench.step();
    bencher.iter(|| bench.scheduler.drop_unwanted(black_box(Instant::now())));
    assert_eq!(bench.scheduler.num_running(), 256);
}

/// A bench whose cache holds the whole prompt.
fn with_cached_prompt() -> (Bench, Vec<TokenId>) {
    let mut bench = Bench::new(2 * PROMPT_LEN / BLOCK_LEN);
    let prompt = text(1, PROMPT_LEN);
    let (id, sequence) = bench.sequence(prompt.clone(), 1);
    bench.scheduler.add(id, sequence, None);
    bench.step();
    (bench, prompt)
}

fn find_cached_prompt(bencher: &mut Bencher<'_>) {
    let (bench, prompt) = with_cached_prompt();
    let scope = CacheScope::default();
    let find = || bench.scheduler.pool().find(black_box(&prompt), &scope);
    // All but the last token's block.
    assert_eq!(find().num_blocks(), PROMPT_LEN / BLOCK_LEN - 1);
    bencher.iter(find);
}

/// From the queue to the first row: search, blocks, slot.
fn admit_cached_prompt(bencher: &mut Bencher<'_>) {
    let (mut bench, prompt) = with_cached_prompt();
    bencher.iter_custom(|iterations| {
        let mut spent = Duration::ZERO;
        for _ in 0..iterations {
            let (id, sequence) = bench.sequence(prompt.clone(), 2);
            let start = Instant::now();
            bench.scheduler.add(id, sequence, None);
            let plan = bench.scheduler.plan();
            spent += start.elapsed();
            assert_eq!(plan.rows[0].len, BLOCK_LEN);
            bench.clear();
        }
        spent
    });
}

fn draft(bencher: &mut Bencher<'_>, tokens: &[TokenId], expected_len: usize) {
    let mut drafter = NgramDrafter::default();
    assert_eq!(drafter.draft(tokens, 4).len(), expected_len);
    bencher.iter(|| drafter.draft(black_box(tokens), 4));
}

fn benchmarks(criterion: &mut Criterion) {
    criterion.bench_function("plan and commit a token for each of 256", decode_step);
    criterion.bench_function("look whether 256 clients are still there", look_for_leavers);
    criterion.bench_function("find a cached prompt of 8192", find_cached_prompt);
    criterion.bench_function("admit a cached prompt of 8192", admit_cached_prompt);
    let without_match = text(1, PROMPT_LEN);
    criterion.bench_function("draft after 8192 without a match", |bencher| {
        draft(bencher, &without_match, 0);
    });
    // The last token is every other token, and what comes before it is never the same.
    let misleading: Vec<_> = without_match.iter().flat_map(|&token| [token, 0]).collect();
    criterion.bench_function(
        "draft after 8192 of which half match by chance",
        |bencher| {
            draft(bencher, &misleading[PROMPT_LEN..], 0);
        },
    );
}

criterion_group!(group, benchmarks);
criterion_main!(group);
