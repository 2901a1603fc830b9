//! A checkpoint against the `golden.json` beside it.

use std::path::Path;

use model::{CpuRunner, Input, KvMemory, OpenOptions, Positions, open};
use serde::Deserialize;

use crate::feed::{Feed, greedy, logits_in_chunks};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    prompt: Vec<u32>,
    greedy: Vec<u32>,
    /// One row for each token of the prompt.
    logits: Vec<Vec<f32>>,
}

/// Blocks for one sequence: 40 tokens of prompt and 24 more.
const BLOCKS_PER_CASE: u32 = 5;

fn load(folder: &Path) -> (CpuRunner, Golden) {
    let golden =
        serde_json::from_str(&std::fs::read_to_string(folder.join("golden.json")).unwrap())
            .unwrap();
    let options = OpenOptions {
        kv_memory: KvMemory::Blocks(32),
        max_model_len: Some(128),
        ..OpenOptions::default()
    };
    (open(folder, &options).unwrap().runner, golden)
}

fn feeds(golden: &Golden) -> Vec<Feed> {
    let feed = |(index, case): (u32, &Case)| {
        Feed::new(&case.prompt, index * BLOCKS_PER_CASE, BLOCKS_PER_CASE)
    };
    (0..).zip(&golden.cases).map(feed).collect()
}

/// Two float computations of the same sums in other orders, through two layers: 1e-4 of the greatest logit.
fn assert_close(found: &[Vec<f32>], expected: &[Vec<f32>], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let greatest = expected
        .iter()
        .flatten()
        .fold(0.0f32, |a, b| a.max(b.abs()));
    for (position, (found, expected)) in found.iter().zip(expected).enumerate() {
        for (token, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (found - expected).abs();
            assert!(
                error <= 1e-4 * greatest,
                "{what}, position {position}, token {token}: {found} is not {expected}"
            );
        }
    }
}

/// Whole, in chunks, in a batch, greedy: all equal the reference, and each other to the bit.
pub(crate) fn check(name: &str) {
    let (mut runner, golden) = load(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests")
            .join(name),
    );

    // Whole prompts give the reference's logits; chunks give the same bits.
    let mut whole = Vec::new();
    for (index, case) in golden.cases.iter().enumerate() {
        let logits = logits_in_chunks(&mut runner, &mut feeds(&golden)[index], case.prompt.len());
        assert_close(&logits, &case.logits, &format!("{name}, case {index}"));
        for chunk_len in [1, 5] {
            let chunks = logits_in_chunks(&mut runner, &mut feeds(&golden)[index], chunk_len);
            assert!(
                chunks == logits,
                "{name}, case {index}: chunks of {chunk_len} give other bits"
            );
        }
        whole.push(logits);
    }

    // All prompts in one batch give the same bits again.
    let together = feeds(&golden);
    let inputs: Vec<Input<'_>> = together
        .iter()
        .map(|feed| feed.input(feed.tokens.len()))
        .collect();
    let batched = runner.logits(&inputs, Positions::All).unwrap();
    assert!(
        batched == whole.concat(),
        "{name}: a batch gives other bits"
    );
    let last = runner.logits(&inputs, Positions::Last).unwrap();
    let expected: Vec<Vec<f32>> = whole
        .iter()
        .map(|logits| logits[logits.len() - 1].clone())
        .collect();
    assert!(
        last == expected,
        "{name}: the last positions alone give other bits"
    );

    // Greedy text equals the reference's, alone and in a batch.
    let mut together = feeds(&golden);
    greedy(&mut runner, &mut together, golden.cases[0].greedy.len());
    for (index, case) in golden.cases.iter().enumerate() {
        assert_eq!(
            together[index].tokens[case.prompt.len()..],
            case.greedy,
            "{name}, case {index} in a batch"
        );
        let alone = &mut feeds(&golden)[index..=index];
        greedy(&mut runner, alone, case.greedy.len());
        assert_eq!(
            alone[0].tokens, together[index].tokens,
            "{name}, case {index} alone"
        );
    }
}
