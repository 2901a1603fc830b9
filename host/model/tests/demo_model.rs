//! The demo model against a float reference, along the text that llama.cpp wrote (`data/smollm2-greedy.json`).
//!
//! The file's weights have 4 bits, so near-ties fall either way in any engine: llama.cpp does not even equal itself with
//! another attention kernel. Where the float reference's best token leads by 0.5 or more, every engine measured agrees.

#[path = "support/feed.rs"]
mod feed;

use feed::{Feed, greedy, logits_in_chunks};
use model::{KvMemory, OpenOptions, TokenizerSource, demo, open};
use serde::Deserialize;

const CLEAR_MARGIN: f32 = 0.5;

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    user: String,
    prompt_token_ids: Vec<u32>,
    output_token_ids: Vec<u32>,
    f32_on_llama_cpp_path: Path,
}

/// For each output token, what the float reference would have said instead, and how clearly.
#[derive(Deserialize)]
struct Path {
    argmax: Vec<u32>,
    top1_top2_logit_margin: Vec<f32>,
}

fn load() -> (model::LoadedModel, Reference) {
    let file = demo::fetch(&demo::cache_dir(), |_, _| ()).unwrap();
    let options = OpenOptions {
        kv_memory: KvMemory::Blocks(64),
        max_model_len: Some(512),
        ..OpenOptions::default()
    };
    (
        open(&file, &options).unwrap(),
        serde_json::from_str(include_str!("data/smollm2-greedy.json")).unwrap(),
    )
}

#[test]
fn the_clear_choices_of_the_float_reference_are_ours() {
    let (mut model, reference) = load();
    let (mut num_clear, mut num_close, mut num_close_agreed) = (0, 0, 0);
    for case in &reference.cases {
        let mut tokens = case.prompt_token_ids.clone();
        // The last output token is never an input.
        tokens.extend(&case.output_token_ids[..case.output_token_ids.len() - 1]);
        let logits = logits_in_chunks(&mut model.runner, &mut Feed::new(&tokens, 0, 16), 64);
        let path = &case.f32_on_llama_cpp_path;
        let ours = logits[case.prompt_token_ids.len() - 1..]
            .iter()
            .map(|row| engine::sampling::argmax(row).expect("logits are numbers"));
        for (step, ours) in ours.enumerate() {
            let (expected, margin) = (path.argmax[step], path.top1_top2_logit_margin[step]);
            if margin >= CLEAR_MARGIN {
                num_clear += 1;
                assert_eq!(
                    ours, expected,
                    "{:?}, step {step}, margin {margin}",
                    case.user
                );
            } else {
                num_close += 1;
                num_close_agreed += usize::from(ours == expected);
            }
        }
    }
    println!("{num_clear} clear choices agree; of {num_close} close ones {num_close_agreed} do");
    assert!(num_clear > 100, "only {num_clear} choices were clear");
}

#[test]
fn a_batch_of_unlike_sequences_writes_what_each_writes_alone() {
    let (mut model, reference) = load();
    let feed = |index: usize| {
        Feed::new(
            &reference.cases[index].prompt_token_ids,
            16 * index as u32,
            8,
        )
    };
    let mut together: Vec<Feed> = (0..reference.cases.len()).map(feed).collect();
    greedy(&mut model.runner, &mut together, 12);
    for (index, together) in together.iter().enumerate() {
        let mut alone = [feed(index)];
        greedy(&mut model.runner, &mut alone, 12);
        assert_eq!(
            alone[0].tokens, together.tokens,
            "{:?}",
            reference.cases[index].user
        );
    }
}

#[test]
fn the_files_words_on_prompts_and_vocabulary_are_read() {
    let (model, _) = load();
    assert_eq!(model.runner.num_parameters(), 134_515_008);
    assert_eq!(model.chat.eos_token_ids, [0, 2]);
    assert_eq!(model.chat.bos_token.as_deref(), Some("<|im_start|>"));
    assert_eq!(model.chat.eos_token.as_deref(), Some("<|im_end|>"));
    assert!(
        model
            .chat
            .chat_template
            .is_some_and(|template| template.contains("<|im_start|>"))
    );
    let TokenizerSource::Gguf(vocab) = model.tokenizer else {
        panic!("a GGUF file has its vocabulary inside")
    };
    assert_eq!(
        (
            vocab.tokens.len(),
            vocab.token_types.len(),
            vocab.merges.len()
        ),
        (49_152, 49_152, 48_900)
    );
    assert_eq!(
        (vocab.model.as_str(), vocab.pre.as_str(), vocab.add_bos),
        ("gpt2", "smollm", false)
    );
}
