//! A model of Qwen3's form on the GPU says what it says on the CPU, and an answer depends on its request alone. Run with `--ignored --test-threads=1`
//! where a GPU is.

use std::{path::Path, sync::OnceLock, thread::JoinHandle};

use engine::{
    Caching, EmbeddingRequest, EngineConfig, EngineHandle, Event, Overlap, Pooling, Request,
    SamplingParams, TokenId,
    fake::Residue,
    runner::{BlockId, StepError},
};
use half::bf16;
use model::{CpuRunner, Input, KvMemory, ModelFiles, OpenOptions, Positions, cuda, open};
use tokio::runtime::Builder;

const HIDDEN: usize = 256;
const FFN: usize = 448;
const LAYERS: usize = 3;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD_LEN: usize = 128;
const VOCAB: usize = 1008;

/// A checkpoint of seeded random bf16 weights.
fn checkpoint() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let config = serde_json::json!({
                "model_type": "qwen3", "hidden_size": HIDDEN, "intermediate_size": FFN, "num_hidden_layers": LAYERS,
                "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD_LEN, "vocab_size": VOCAB,
                "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "tie_word_embeddings": false,
            });
            std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
            std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
            std::fs::write(folder.path().join("model.safetensors"), safetensors()).unwrap();
            folder
        })
        .path()
}

fn safetensors() -> Vec<u8> {
    let (q, kv) = (HEADS * HEAD_LEN, KV_HEADS * HEAD_LEN);
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCAB, HIDDEN]),
        ("lm_head.weight".to_owned(), vec![VOCAB, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
    ];
    for layer in 0..LAYERS {
        let shapes = [
            ("input_layernorm", vec![HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
            ("self_attn.q_proj", vec![q, HIDDEN]),
            ("self_attn.k_proj", vec![kv, HIDDEN]),
            ("self_attn.v_proj", vec![kv, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, q]),
            ("self_attn.q_norm", vec![HEAD_LEN]),
            ("self_attn.k_norm", vec![HEAD_LEN]),
            ("mlp.gate_proj", vec![FFN, HIDDEN]),
            ("mlp.up_proj", vec![FFN, HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, FFN]),
        ];
        tensors.extend(
            shapes.map(|(name, shape)| (format!("model.layers.{layer}.{name}.weight"), shape)),
        );
    }
    let (mut header, mut data, mut state) = (serde_json::Map::new(), Vec::new(), 1u64);
    for (name, shape) in tensors {
        let start = data.len();
        for _ in 0..shape.iter().product() {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let noise = (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
            // Norms near 1, matrices that keep the size of what they are given.
            let number = if shape.len() == 1 {
                1.0 + 0.4 * noise
            } else {
                noise * (12.0 / shape[1] as f32).sqrt()
            };
            data.extend(bf16::from_f32(number).to_le_bytes());
        }
        header.insert(name, serde_json::json!({"dtype": "BF16", "shape": shape, "data_offsets": [start, data.len()]}));
    }
    let header = serde_json::Value::Object(header).to_string();
    [
        &(header.len() as u64).to_le_bytes(),
        header.as_bytes(),
        &data,
    ]
    .concat()
}

/// How the engine is run.
#[derive(Clone, Copy, Debug)]
struct Setting {
    overlap: Overlap,
    caching: Caching,
    max_num_seqs: usize,
    max_num_batched_tokens: usize,
    num_draft_tokens: usize,
}

const PLAIN: Setting = Setting {
    overlap: Overlap::Off,
    caching: Caching::Off,
    max_num_seqs: 1,
    max_num_batched_tokens: 1024,
    num_draft_tokens: 0,
};

/// Tokens with the bits of their log-probabilities.
type Said = Vec<(TokenId, Vec<(TokenId, u32)>)>;

#[derive(Clone)]
struct Ask {
    prompt: Vec<TokenId>,
    sampling: SamplingParams,
    form: Option<Residue>,
}

const ANSWER_LEN: usize = 40;

type Thread = JoinHandle<Result<(), StepError>>;

/// An engine on the GPU.
fn start(setting: Setting) -> (EngineHandle, Thread) {
    let options = OpenOptions {
        kv_memory: KvMemory::Blocks(400),
        max_model_len: Some(1024),
        max_num_seqs: setting.max_num_seqs,
        max_num_batched_tokens: setting.max_num_batched_tokens,
        ..OpenOptions::default()
    };
    let runner = cuda::open(ModelFiles::open(checkpoint()).unwrap(), &options)
        .unwrap()
        .runner;
    let config = EngineConfig {
        max_num_seqs: setting.max_num_seqs,
        max_num_batched_tokens: setting.max_num_batched_tokens,
        prefix_caching: setting.caching,
        overlap: setting.overlap,
        num_draft_tokens: setting.num_draft_tokens,
        ..EngineConfig::default()
    };
    EngineHandle::start(runner, config)
}

/// All requests at once, in this setting, each asked `times` times one after the other.
fn answers(setting: Setting, asks: &[Ask], times: usize) -> Vec<Said> {
    let (engine, thread) = start(setting);
    let runtime = Builder::new_current_thread().build().unwrap();
    let mut said = Vec::new();
    for _ in 0..times {
        let generations: Vec<_> = asks
            .iter()
            .map(|ask| engine.submit(ask.request(), 1).unwrap().remove(0))
            .collect();
        for mut generation in generations {
            let mut events = Vec::new();
            runtime.block_on(async { while generation.next(&mut events).await {} });
            said.push(tokens(events));
        }
    }
    drop(engine);
    thread.join().unwrap().unwrap();
    said
}

fn tokens(events: Vec<Event>) -> Said {
    let token = |event| match event {
        Event::Token(token) => {
            let top = token
                .logprobs
                .map(|logprobs| logprobs.top)
                .unwrap_or_default();
            Some((
                token.id,
                top.into_iter()
                    .map(|(id, logprob)| (id, logprob.to_bits()))
                    .collect(),
            ))
        }
        Event::Failed(error) => panic!("{error}"),
        Event::Started { .. } | Event::Prompt(_) | Event::Finished { .. } => None,
    };
    events.into_iter().filter_map(token).collect()
}

impl Ask {
    fn greedy(seed: u64, len: usize) -> Self {
        let mut state = seed;
        let next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % VOCAB as u64) as TokenId
        };
        let sampling = SamplingParams {
            logprobs: Some(5),
            ..SamplingParams::default()
        };
        Self {
            prompt: std::iter::repeat_with(next).take(len).collect(),
            sampling,
            form: None,
        }
    }

    fn sampled(seed: u64, len: usize) -> Self {
        let greedy = Self::greedy(seed, len);
        let sampling = SamplingParams {
            temperature: 0.9,
            top_p: 0.95,
            top_k: 50,
            seed,
            repetition_penalty: 1.1,
            presence_penalty: 0.3,
            logit_bias: vec![(7, 1.5), (7, 0.5), (8, -3.0)],
            ..greedy.sampling
        };
        Self { sampling, ..greedy }
    }

    fn request(&self) -> Request {
        Request {
            prompt: self.prompt.clone(),
            sampling: self.sampling.clone(),
            max_tokens: ANSWER_LEN,
            constraint: self.form.clone().map(|form| Box::new(form) as _),
            ..Request::default()
        }
    }
}

fn asks() -> Vec<Ask> {
    let mut asks: Vec<_> = [1, 2, 31, 32, 33, 65, 200, 513]
        .into_iter()
        .enumerate()
        .map(|(seed, len)| Ask::greedy(seed as u64 + 1, len))
        .collect();
    asks.extend(
        [5, 40, 97, 129]
            .into_iter()
            .enumerate()
            .map(|(seed, len)| Ask::sampled(seed as u64 + 50, len)),
    );
    asks
}

/// The CPU's logits after each token but the last of prompt and answer, from the prompt's last on.
fn reference(cpu: &mut CpuRunner, prompt: &[TokenId], said: &Said) -> Vec<Vec<f32>> {
    let tokens: Vec<TokenId> = prompt
        .iter()
        .copied()
        .chain(said.iter().map(|(id, _)| *id))
        .collect();
    let tokens = &tokens[..tokens.len() - 1];
    let blocks: Vec<BlockId> = (0..tokens.len().div_ceil(16) as u32).map(BlockId).collect();
    let logits = cpu
        .logits(
            &[Input {
                tokens,
                start: 0,
                blocks: &blocks,
            }],
            Positions::All,
        )
        .unwrap();
    logits[prompt.len() - 1..].to_vec()
}

fn assert_agrees_with_the_cpu(asks: &[Ask], answers: &[Said]) {
    let options = OpenOptions {
        kv_memory: KvMemory::Blocks(64),
        max_model_len: Some(1024),
        ..OpenOptions::default()
    };
    let mut cpu = open(checkpoint(), &options).unwrap().runner;
    let (mut sum, mut len, mut worst) = (0.0, 0, 0f32);
    for (ask, said) in asks.iter().zip(answers) {
        assert_eq!(said.len(), ANSWER_LEN);
        for ((picked, top), logits) in said.iter().zip(reference(&mut cpu, &ask.prompt, said)) {
            let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum_exp: f32 = logits.iter().map(|logit| (logit - best).exp()).sum();
            let mean = logits.iter().sum::<f32>() / VOCAB as f32;
            let deviation = (logits
                .iter()
                .map(|logit| (logit - mean).powi(2))
                .sum::<f32>()
                / VOCAB as f32)
                .sqrt();
            worst = worst.max((best - logits[*picked as usize]) / deviation);
            for (id, bits) in top {
                let difference =
                    f32::from_bits(*bits) - (logits[*id as usize] - best - sum_exp.ln());
                sum += f64::from(difference / deviation).powi(2);
                len += 1;
            }
        }
    }
    let rms = (sum / f64::from(len)).sqrt();
    println!(
        "worst pick {worst} standard deviations short, log-probabilities differ by {rms} of them (RMS)"
    );
    // Activations are rounded to bf16 on the GPU (2^-9 each, in every layer) and not at all on the CPU.
    assert!(worst < 0.05 && rms < 0.02, "{worst} {rms}");
}

#[test]
#[ignore = "needs a GPU"]
fn the_gpu_says_what_the_cpu_says_but_for_near_ties() {
    let asks: Vec<_> = asks()
        .into_iter()
        .filter(|ask| ask.sampling.temperature == 0.0)
        .collect();
    assert_agrees_with_the_cpu(&asks, &answers(PLAIN, &asks, 1));
}

#[test]
#[ignore = "needs a GPU"]
fn guesses_that_are_checked_together_lead_to_what_the_cpu_says() {
    // Repetitive, so that there is something to guess.
    let mut asks = vec![Ask::greedy(9, 8), Ask::greedy(10, 5)];
    asks.iter_mut()
        .for_each(|ask| ask.prompt = ask.prompt.repeat(6));
    let setting = Setting {
        num_draft_tokens: 4,
        max_num_seqs: 2,
        ..PLAIN
    };
    assert_agrees_with_the_cpu(&asks, &answers(setting, &asks, 1));
}

#[test]
#[ignore = "needs a GPU"]
fn an_answer_has_the_same_bits_in_every_setting() {
    let asks = asks();
    let alone = answers(PLAIN, &asks, 1);
    let together = Setting {
        max_num_seqs: 16,
        ..PLAIN
    };
    let settings = [
        Setting {
            overlap: Overlap::On,
            ..PLAIN
        },
        together,
        Setting {
            overlap: Overlap::On,
            ..together
        },
        Setting {
            max_num_batched_tokens: 33,
            ..together
        },
        Setting {
            max_num_batched_tokens: 16,
            overlap: Overlap::On,
            ..together
        },
    ];
    for setting in settings {
        assert!(answers(setting, &asks, 1) == alone, "{setting:?}");
    }
    // The second time everything but the end of each prompt comes from the cache.
    let cached = answers(
        Setting {
            caching: Caching::On,
            overlap: Overlap::On,
            ..together
        },
        &asks,
        2,
    );
    assert!(cached[..asks.len()] == alone && cached[asks.len()..] == alone);
}

#[test]
#[ignore = "needs a GPU"]
fn forms_hold_for_those_that_have_one_and_leave_the_others_alone() {
    let mut asks = asks();
    let free = answers(PLAIN, &asks, 1);
    for (number, ask) in asks
        .iter_mut()
        .enumerate()
        .filter(|(number, _)| number % 3 == 0)
    {
        ask.form = Some(Residue {
            divisor: 5,
            remainder: number as u32 % 5,
            len: ANSWER_LEN,
            vocab_len: VOCAB,
        });
    }
    let said = answers(
        Setting {
            max_num_seqs: 16,
            overlap: Overlap::On,
            ..PLAIN
        },
        &asks,
        1,
    );
    for (number, (said, free)) in said.iter().zip(&free).enumerate() {
        match number % 3 {
            0 => assert!(
                said.iter().all(|(id, _)| *id as usize % 5 == number % 5),
                "{said:?}"
            ),
            _ => assert!(said == free, "request {number}"),
        }
    }
}

/// A token of a prompt, the bits of its log-probability and those of the likeliest in its place.
type Score = (TokenId, u32, Vec<(TokenId, u32)>);

/// What is said of the prompts, all asked for at once, in this setting.
fn scores(setting: Setting, asks: &[Ask]) -> Vec<Vec<Score>> {
    let (engine, thread) = start(setting);
    let runtime = Builder::new_current_thread().build().unwrap();
    let ask = |ask: &Ask| {
        let request = Request {
            prompt_logprobs: Some(5),
            max_tokens: 3,
            ..ask.request()
        };
        engine.submit(request, 1).unwrap().remove(0)
    };
    let generations: Vec<_> = asks.iter().map(ask).collect();
    let mut all = Vec::new();
    for mut generation in generations {
        let mut events = Vec::new();
        runtime.block_on(async { while generation.next(&mut events).await {} });
        assert!(matches!(events.last(), Some(Event::Finished { .. })));
        let prompts = events.into_iter().filter_map(|event| match event {
            Event::Prompt(tokens) => Some(tokens),
            _ => None,
        });
        let score = |token: engine::ChosenToken| {
            let logprobs = token.logprobs.expect("every token of a prompt has them");
            let top = logprobs.top.iter().map(|(id, p)| (*id, p.to_bits()));
            (token.id, logprobs.chosen.to_bits(), top.collect())
        };
        all.push(prompts.flatten().map(score).collect());
    }
    drop(engine);
    thread.join().unwrap().unwrap();
    all
}

#[test]
#[ignore = "needs a GPU"]
fn the_gpu_finds_prompts_as_likely_as_the_cpu_does() {
    let asks: Vec<_> = asks()
        .into_iter()
        .filter(|ask| ask.prompt.len() < 512)
        .collect();
    let options = OpenOptions {
        kv_memory: KvMemory::Blocks(64),
        max_model_len: Some(1024),
        ..OpenOptions::default()
    };
    let mut cpu = open(checkpoint(), &options).unwrap().runner;
    let (mut sum, mut len) = (0.0, 0);
    for (ask, scores) in asks.iter().zip(scores(PLAIN, &asks)) {
        let ids = scores.iter().map(|(id, ..)| *id);
        assert!(ids.eq(ask.prompt[1..].iter().copied()));
        if scores.is_empty() {
            continue;
        }
        let blocks: Vec<BlockId> = (0..32).map(BlockId).collect();
        let input = Input {
            tokens: &ask.prompt,
            start: 0,
            blocks: &blocks,
        };
        let logits = cpu.logits(&[input], Positions::All).unwrap();
        for ((id, chosen, top), logits) in scores.iter().zip(logits) {
            let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum_exp: f32 = logits.iter().map(|logit| (logit - best).exp()).sum();
            let mean = logits.iter().sum::<f32>() / VOCAB as f32;
            let squares = logits.iter().map(|logit| (logit - mean).powi(2));
            let deviation = (squares.sum::<f32>() / VOCAB as f32).sqrt();
            assert_eq!(top.len(), 5);
            for (id, bits) in [(*id, *chosen)].iter().chain(top) {
                let want = logits[*id as usize] - best - sum_exp.ln();
                sum += f64::from((f32::from_bits(*bits) - want) / deviation).powi(2);
                len += 1;
            }
        }
    }
    let rms = (sum / f64::from(len)).sqrt();
    println!("{len} log-probabilities of prompts differ by {rms} standard deviations (RMS)");
    // As those of answers.
    assert!(rms < 0.02, "{rms}");
}

#[test]
#[ignore = "needs a GPU"]
fn prompts_are_as_likely_in_every_setting_to_the_bit() {
    let asks = asks();
    let alone = scores(PLAIN, &asks);
    let together = Setting {
        max_num_seqs: 16,
        ..PLAIN
    };
    let settings = [
        together,
        Setting {
            overlap: Overlap::On,
            caching: Caching::On,
            ..together
        },
        Setting {
            max_num_batched_tokens: 33,
            overlap: Overlap::On,
            ..together
        },
    ];
    for setting in settings {
        assert!(scores(setting, &asks) == alone, "{setting:?}");
    }
}

/// The vectors of the prompts, all asked for at once beside an answer, in this setting.
fn vectors(setting: Setting, asks: &[Ask], pooling: Pooling) -> Vec<Vec<f32>> {
    let (engine, thread) = start(setting);
    let runtime = Builder::new_current_thread().build().unwrap();
    let mut answer = engine.submit(asks[0].request(), 1).unwrap().remove(0);
    let embed = |ask: &Ask| {
        let request = EmbeddingRequest {
            tokens: ask.prompt.clone(),
            pooling,
            ..EmbeddingRequest::default()
        };
        engine.embed(request).unwrap()
    };
    let embeddings: Vec<_> = asks.iter().map(embed).collect();
    let vectors = embeddings
        .into_iter()
        .map(|embedding| runtime.block_on(embedding).unwrap())
        .collect();
    let mut events = Vec::new();
    runtime.block_on(async { while answer.next(&mut events).await {} });
    assert_eq!(tokens(events).len(), ANSWER_LEN);
    drop(engine);
    thread.join().unwrap().unwrap();
    vectors
}

/// The length of the difference, as a share of `want`'s.
fn relative_error(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    let squares = got.iter().zip(want).map(|(got, want)| (got - want).powi(2));
    let norm: f32 = want.iter().map(|want| want.powi(2)).sum();
    (squares.sum::<f32>() / norm).sqrt()
}

#[test]
#[ignore = "needs a GPU"]
fn the_gpu_makes_the_vectors_of_the_cpu_in_every_setting() {
    let asks = asks();
    let options = OpenOptions {
        kv_memory: KvMemory::Blocks(64),
        max_model_len: Some(1024),
        ..OpenOptions::default()
    };
    let mut cpu = open(checkpoint(), &options).unwrap().runner;
    let blocks: Vec<BlockId> = (0..64).map(BlockId).collect();
    let together = Setting {
        max_num_seqs: 16,
        overlap: Overlap::On,
        ..PLAIN
    };
    let settings = [
        together,
        Setting {
            caching: Caching::On,
            ..together
        },
        Setting {
            max_num_batched_tokens: 33,
            ..together
        },
    ];
    for pooling in [Pooling::Last, Pooling::Mean] {
        let alone = vectors(PLAIN, &asks, pooling);
        let mut worst = 0f32;
        for (ask, vector) in asks.iter().zip(&alone) {
            let input = Input {
                tokens: &ask.prompt,
                start: 0,
                blocks: &blocks,
            };
            let states = cpu.hidden(&[input], Positions::All).unwrap();
            let pooled = match pooling {
                Pooling::Last => &states[states.len() - 1..],
                Pooling::Mean => &states[..],
            };
            let mean = |column: usize| {
                pooled.iter().map(|state| state[column]).sum::<f32>() / pooled.len() as f32
            };
            let want: Vec<f32> = (0..HIDDEN).map(mean).collect();
            worst = worst.max(relative_error(vector, &want));
        }
        println!("{pooling:?}: vectors differ by {worst} of their length at worst");
        // The last state is rounded to bf16 after layers that were, too.
        assert!(worst < 0.03, "{worst}");
        for setting in settings {
            for (got, want) in vectors(setting, &asks, pooling).iter().zip(&alone) {
                // A sum's parts are rounded to single precision where a text was cut.
                assert!(relative_error(got, want) < 1e-5, "{pooling:?}, {setting:?}");
            }
        }
    }
}
