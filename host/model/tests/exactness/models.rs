//! The real models: the tiny Qwen3 checkpoints of `golden/`, with what Transformers says, and the demo model.

use std::{path::Path, sync::OnceLock};

use engine::{ModelRunner, SamplingParams, TokenId};
use model::{KvMemory, OpenOptions, demo, open};
use serde::Deserialize;

use crate::{ask::Ask, lent::Home, setting::AMPLE};

pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) home: Home,
    pub(crate) vocab_len: usize,
    pub(crate) cases: Vec<Case>,
    /// The length of the answers in most tests.
    pub(crate) answer_len: usize,
    /// A prompt that the model goes on with by repeating what it has read or said.
    pub(crate) repetitive: Vec<TokenId>,
}

/// A prompt, and its greedy answer as far as a reference gives one that every engine must give.
#[derive(Clone, Deserialize)]
pub(crate) struct Case {
    pub(crate) prompt: Vec<TokenId>,
    pub(crate) greedy: Vec<TokenId>,
}

#[derive(Deserialize)]
struct Cases<C> {
    cases: Vec<C>,
}

/// A case of `data/smollm2-greedy.json`. Its weights of 4 bits leave near-ties, so its text is nobody's but llama.cpp's.
#[derive(Deserialize)]
struct DemoCase {
    prompt_token_ids: Vec<TokenId>,
    output_token_ids: Vec<TokenId>,
}

/// The checkpoint with tied weights.
pub(crate) fn tied() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| golden("golden/tied"))
}

/// The checkpoint with a head of its own, in bfloat16.
pub(crate) fn untied() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| golden("golden/untied"))
}

/// SmolLM2-135M-Instruct.
pub(crate) fn demo() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| {
        let text = include_str!("../data/smollm2-greedy.json");
        let Cases { cases } = serde_json::from_str::<Cases<DemoCase>>(text).unwrap();
        let path = demo::fetch(&demo::cache_dir(), |_, _| ()).unwrap();
        // The chat template's beginning is left out: answers that outgrow their prompts are what preempts.
        let tail = |(case, len): (&DemoCase, usize)| Case {
            prompt: case.prompt_token_ids[case.prompt_token_ids.len() - len..].to_vec(),
            greedy: vec![],
        };
        let tails = cases.iter().zip([6, 8, 18, 36]).map(tail).collect();
        Model {
            answer_len: 28,
            repetitive: cases[0].output_token_ids[..32].repeat(3),
            ..load("SmolLM2", &path, tails)
        }
    })
}

fn golden(name: &'static str) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name);
    let text = std::fs::read_to_string(folder.join("golden.json")).unwrap();
    let Cases { cases } = serde_json::from_str(&text).unwrap();
    load(name, &folder, cases)
}

fn load(name: &'static str, path: &Path, cases: Vec<Case>) -> Model {
    let options = OpenOptions {
        kv_memory: KvMemory::Blocks(AMPLE),
        max_model_len: Some(512),
        ..OpenOptions::default()
    };
    let runner = open(path, &options).unwrap().runner;
    Model {
        name,
        vocab_len: runner.limits().vocab_len,
        home: Home::new(runner),
        cases,
        answer_len: 40,
        repetitive: vec![7; 40],
    }
}

impl Model {
    /// A request for the likeliest answer to a case.
    pub(crate) fn greedy(&self, case: usize) -> Ask {
        Ask {
            name: ["greedy 0", "greedy 1", "greedy 2", "greedy 3"][case],
            prompt: self.cases[case].prompt.clone(),
            sampling: SamplingParams {
                logprobs: Some(0),
                ..SamplingParams::default()
            },
            max_tokens: self.answer_len,
            form: None,
            prompt_logprobs: None,
        }
    }

    /// A request for an answer by chance.
    pub(crate) fn sampled(&self, case: usize, seed: u64) -> Ask {
        let greedy = self.greedy(case);
        Ask {
            name: "sampled",
            sampling: SamplingParams {
                temperature: 0.9,
                top_p: 0.95,
                seed,
                ..greedy.sampling
            },
            ..greedy
        }
    }
}
