//! Any schedule, any settings: each request gets the text that it would get alone, and nothing is lost.

use proptest::{collection::vec, option, prelude::*};

use super::bench::{
    Bench, Events, HIDDEN_LEN, Said, VOCAB_LEN, limits, read_with_scores, residue, try_vector,
};
use crate::{
    Embedding,
    block::{CacheScope, Caching},
    draft::Drafter,
    fake::FakeRunner,
    request::{
        EmbeddingRequest, EngineConfig, Event, GenerationFailed, Overlap, Pooling, Request,
        Scheduling,
    },
    runner::{StepError, TokenId},
    sampling::{ChosenToken, SamplingParams},
};

/// A request, when it comes, and when its client leaves.
#[derive(Clone, Debug)]
struct Visit {
    prompt: Vec<TokenId>,
    max_tokens: usize,
    sampling: SamplingParams,
    /// Divisor and length of a [`residue`].
    constraint: Option<(u32, usize)>,
    prompt_logprobs: Option<usize>,
    num_samples: usize,
    priority: i32,
    salt: Option<bool>,
    arrival: usize,
    leaves_after: Option<usize>,
}

fn visit() -> impl Strategy<Value = Visit> {
    let prompt = (0..4usize, vec(0..VOCAB_LEN as TokenId, 1..20));
    let asked = (
        1..30usize,
        sampling(),
        option::weighted(0.2, (2..9u32, 1..12usize)),
        option::weighted(0.25, 0..4usize),
    );
    let who = (1..4usize, -2..3i32, option::weighted(0.2, any::<bool>()));
    let when = (0..20usize, option::weighted(0.3, 0..25usize));
    (prompt, asked, who, when).prop_map(|(prompt, asked, who, when)| {
        // Prompts that begin alike, so that there is something to share.
        let beginning = (0..20).map(|token| token % 5).take(prompt.0 * 7);
        Visit {
            prompt: beginning.chain(prompt.1).collect(),
            max_tokens: asked.0,
            sampling: asked.1,
            constraint: asked.2,
            prompt_logprobs: asked.3,
            num_samples: who.0,
            priority: who.1,
            salt: who.2,
            arrival: when.0,
            leaves_after: when.1,
        }
    })
}

fn sampling() -> impl Strategy<Value = SamplingParams> {
    let greedy = Just(SamplingParams::default());
    let hot = (0..1_000u64, 0.5..2.0f32, 0..20usize, 0.5..1.0f32).prop_map(
        |(seed, temperature, top_k, top_p)| SamplingParams {
            temperature,
            top_k,
            top_p,
            seed,
            ..SamplingParams::default()
        },
    );
    let penalised =
        (0.8..2.0f32, -1.0..2.0f32, -1.0..2.0f32).prop_map(|(r, p, f)| SamplingParams {
            repetition_penalty: r,
            presence_penalty: p,
            frequency_penalty: f,
            ..SamplingParams::default()
        });
    let biased =
        vec((0..VOCAB_LEN as TokenId, -5.0..5.0f32), 1..4).prop_map(|logit_bias| SamplingParams {
            logit_bias,
            logprobs: Some(2),
            ..SamplingParams::default()
        });
    let kinds = prop_oneof![greedy, hot, penalised, biased];
    // A third of the vocabulary ends the text, so that many texts end before their length.
    let stop = option::weighted(0.4, (0..3u32, 0..6usize));
    (kinds, stop).prop_map(|(kind, stop)| match stop {
        None => kind,
        Some((remainder, min_tokens)) => SamplingParams {
            stop_token_ids: (0..VOCAB_LEN as u32)
                .filter(|token| token % 9 == remainder)
                .collect(),
            min_tokens,
            ..kind
        },
    })
}

impl Visit {
    fn request(&self) -> Request {
        Request {
            prompt: self.prompt.clone(),
            sampling: self.sampling.clone(),
            max_tokens: self.max_tokens,
            priority: self.priority,
            deadline: None,
            scope: CacheScope {
                adapter: None,
                salt: self.salt.map(|salt| salt.to_string()),
            },
            constraint: self
                .constraint
                .map(|(divisor, len)| Box::new(residue(divisor, len)) as _),
            prompt_logprobs: self.prompt_logprobs,
        }
    }

    /// What is reported of the prompt with a sample.
    fn expected_scores(&self, sample: usize) -> Vec<ChosenToken> {
        match self.prompt_logprobs {
            Some(num_top) if sample == 0 => {
                FakeRunner::expected_scores(&self.prompt, num_top, VOCAB_LEN)
            }
            _ => Vec::new(),
        }
    }

    /// The text of a sample and its end, made without an engine.
    fn expected(&self, sample: usize) -> (Vec<TokenId>, Event) {
        let params = SamplingParams {
            seed: self.sampling.seed + sample as u64,
            ..self.sampling.clone()
        };
        let form = self.constraint.map(|(divisor, len)| residue(divisor, len));
        let form = form.as_ref();
        FakeRunner::answer(&self.prompt, self.max_tokens, VOCAB_LEN, &params, form)
    }
}

/// Guesses that are right for greedy texts until, now and then, they are not.
struct SometimesRight(u32);

impl Drafter for SometimesRight {
    fn draft(&mut self, tokens: &[TokenId], max_len: usize) -> Vec<TokenId> {
        let mut drafts = FakeRunner::expected(tokens, max_len, VOCAB_LEN);
        for draft in &mut drafts {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if self.0 >> 30 == 0 {
                *draft = (*draft + 1) % VOCAB_LEN as TokenId;
            }
        }
        drafts
    }
}

fn config() -> impl Strategy<Value = EngineConfig> {
    let limits = (1..6usize, 0..40usize, 0..5usize);
    let switches = (any::<bool>(), any::<bool>(), any::<bool>());
    (limits, switches).prop_map(
        |((seqs, extra_budget, drafts), (priority, caching, overlap))| EngineConfig {
            max_num_seqs: seqs,
            max_num_batched_tokens: seqs + extra_budget,
            max_num_queued_reqs: 1_000,
            scheduling: if priority {
                Scheduling::Priority
            } else {
                Scheduling::Fcfs
            },
            prefix_caching: if caching { Caching::On } else { Caching::Off },
            overlap: if overlap { Overlap::On } else { Overlap::Off },
            num_draft_tokens: drafts,
            ..EngineConfig::default()
        },
    )
}

struct Client {
    visit: usize,
    sample: usize,
    events: Events,
}

/// A text to be made a vector of, when it comes, and when its client leaves.
#[derive(Clone, Debug)]
struct Text {
    request: EmbeddingRequest,
    arrival: usize,
    leaves_after: Option<usize>,
}

fn text() -> impl Strategy<Value = Text> {
    let tokens = (0..4usize, vec(0..VOCAB_LEN as TokenId, 1..20));
    let pooling = any::<bool>().prop_map(|last| if last { Pooling::Last } else { Pooling::Mean });
    let who = (-2..3i32, option::weighted(0.2, any::<bool>()));
    let when = (0..20usize, option::weighted(0.3, 0..15usize));
    (tokens, pooling, who, when).prop_map(|(tokens, pooling, who, when)| Text {
        request: EmbeddingRequest {
            // Beginning as prompts do.
            tokens: (0..20)
                .map(|token| token % 5)
                .take(tokens.0 * 7)
                .chain(tokens.1)
                .collect(),
            pooling,
            priority: who.0,
            deadline: None,
            scope: CacheScope {
                adapter: None,
                salt: who.1.map(|salt| salt.to_string()),
            },
        },
        arrival: when.0,
        leaves_after: when.1,
    })
}

impl Text {
    fn expected(&self) -> Vec<f32> {
        let EmbeddingRequest {
            tokens, pooling, ..
        } = &self.request;
        FakeRunner::expected_embedding(tokens, *pooling, HIDDEN_LEN)
    }
}

fn by_chance() -> GenerationFailed {
    GenerationFailed::Step("by chance".into())
}

proptest! {
    // A schedule that stands still takes seconds to be noticed, each time that it is made smaller.
    #![proptest_config(ProptestConfig {
        cases: 10_000,
        max_shrink_time: 60_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_request_gets_its_own_text_and_ends_once_and_every_block_comes_back(
        visits in vec(visit(), 1..8),
        texts in vec(text(), 0..4),
        config in config(),
        block_len in 1..9usize,
        extra_blocks in 0..12usize,
        failures in vec(option::weighted(0.05, Just(())), 0..40),
    ) {
        // Enough blocks for the longest request alone, seldom for all of them together.
        let num_blocks = 70usize.div_ceil(block_len) + extra_blocks;
        let failures = failures.iter().map(|fails| fails.map(|()| StepError::Failed("by chance".into())));
        let runner = FakeRunner::new(limits(num_blocks, block_len)).with_failures(failures);
        let drafter = (config.num_draft_tokens > 0).then(|| Box::new(SometimesRight(7)) as _);
        let by_priority = config.scheduling == Scheduling::Priority;
        let mut bench = Bench::with_drafter(runner, config, drafter);
        let mut clients: Vec<Client> = Vec::new();
        let mut waiting: Vec<(usize, Embedding)> = Vec::new();
        for step in 0..4_000 {
            for (number, visit) in visits.iter().enumerate() {
                if visit.arrival == step {
                    let mut request = visit.request();
                    if !by_priority {
                        request.priority = 0;
                    }
                    let samples = bench.submit_samples(request, visit.num_samples);
                    let client = |(sample, events)| Client { visit: number, sample, events };
                    clients.extend(samples.into_iter().enumerate().map(client));
                }
                if visit.leaves_after.is_some_and(|after| visit.arrival + after == step) {
                    clients.retain(|client| client.visit != number);
                }
            }
            for (number, text) in texts.iter().enumerate() {
                if text.arrival == step {
                    let mut request = text.request.clone();
                    if !by_priority {
                        request.priority = 0;
                    }
                    waiting.push((number, bench.embed(request)));
                }
                if text.leaves_after.is_some_and(|after| text.arrival + after == step) {
                    waiting.retain(|(waits, _)| *waits != number);
                }
            }
            bench.step().unwrap();
            if step > 50 && bench.is_done() {
                break;
            }
        }
        prop_assert!(bench.is_done(), "sequences starve");
        prop_assert_eq!(bench.num_free(), num_blocks);
        for mut client in clients {
            let Said { scores, tokens, others } = read_with_scores(&mut client.events);
            let (expected, end) = visits[client.visit].expected(client.sample);
            let expected_scores = visits[client.visit].expected_scores(client.sample);
            if others == [Event::Failed(by_chance())] {
                prop_assert!(expected.starts_with(&tokens));
                prop_assert!(expected_scores.starts_with(&scores));
            } else {
                prop_assert_eq!(scores, expected_scores);
                prop_assert_eq!(tokens, expected, "{:?}", others);
                prop_assert_eq!(others, vec![end]);
            }
        }
        for (number, mut embedding) in waiting {
            match try_vector(&mut embedding) {
                Some(Ok(vector)) => prop_assert_eq!(vector, texts[number].expected()),
                Some(Err(failure)) => prop_assert_eq!(failure, by_chance()),
                None => prop_assert!(false, "an embedding has no end"),
            }
        }
        prop_assert_eq!(bench.num_taken(), 0, "a place was not given back");
    }
}
