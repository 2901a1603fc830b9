//! A vector is what the decoder leaves of its text, and nothing else.

use std::path::Path;

use candle_core::{DType, Device, safetensors};
use engine::{Pooling, TokenId, runner::BlockId};
use model::{Input, Positions};

use crate::{
    bench::Bench,
    models::{self, Model},
    setting::{AMPLE, PLAIN, Setting},
};

/// Of the mean's rounding to single precision, and of the order of a sum's parts in double precision.
const ROUNDING: f32 = 1e-6;

fn models() -> [&'static Model; 3] {
    [models::tied(), models::untied(), models::demo()]
}

/// The decoder's hidden states of a text that is computed alone and in one piece.
fn states(model: &Model, tokens: &[TokenId]) -> Vec<Vec<f32>> {
    let blocks: Vec<BlockId> = (0..AMPLE as u32).map(BlockId).collect();
    let input = Input {
        tokens,
        start: 0,
        blocks: &blocks,
    };
    let states = |runner: &mut model::CpuRunner| runner.hidden(&[input], Positions::All);
    model.home.with(states).unwrap()
}

fn mean(states: &[Vec<f32>]) -> Vec<f32> {
    let column = |column: usize| {
        states
            .iter()
            .map(|state| f64::from(state[column]))
            .sum::<f64>()
    };
    let mean = |index| (column(index) / states.len() as f64) as f32;
    (0..states[0].len()).map(mean).collect()
}

fn assert_near(got: &[f32], want: &[f32], what: &str) {
    let size = want.iter().map(|number| number.abs()).fold(0.0, f32::max);
    assert_eq!(got.len(), want.len(), "{what}");
    for (got, want) in got.iter().zip(want) {
        assert!(
            (got - want).abs() <= ROUNDING * size,
            "{got}, not {want}: {what}"
        );
    }
}

#[test]
fn the_head_makes_of_a_hidden_state_the_logits_that_follow_it() {
    let model = models::tied();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tied/model.safetensors");
    let tensors = safetensors::load(file, &Device::Cpu).unwrap();
    let head = tensors["model.embed_tokens.weight"]
        .to_dtype(DType::F32)
        .unwrap();
    let head: Vec<Vec<f32>> = head.to_vec2().unwrap();
    let blocks: Vec<BlockId> = (0..8).map(BlockId).collect();
    let input = Input {
        tokens: &model.cases[1].prompt,
        start: 0,
        blocks: &blocks,
    };
    let logits = |runner: &mut model::CpuRunner| runner.logits(&[input], Positions::All);
    let logits = model.home.with(logits).unwrap();
    for (state, logits) in states(model, input.tokens).iter().zip(logits) {
        for (row, logit) in head.iter().zip(logits) {
            let product: f32 = row.iter().zip(state).map(|(a, b)| a * b).sum();
            // Sums of a few hundred products in another order.
            assert!((product - logit).abs() < 1e-4, "{product}, not {logit}");
        }
    }
}

#[test]
fn a_vector_is_the_last_state_or_the_mean_of_all_in_every_setting() {
    for model in models() {
        let texts: Vec<&[TokenId]> = model.cases.iter().map(|case| &case.prompt[..]).collect();
        let texts = [&texts[..], &[&model.repetitive[..40]]].concat();
        let expected: Vec<_> = texts.iter().map(|text| states(model, text)).collect();
        let all = Setting::all();
        let stride = if model.name == "SmolLM2" { 31 } else { 5 };
        for setting in all.iter().step_by(stride) {
            let bench = Bench::start(model, setting);
            // The second time from the cache, where there is one.
            for _ in 0..2 {
                let other = bench.submit(&model.sampled(1, 5));
                let running: Vec<_> = texts
                    .iter()
                    .map(|text| {
                        [Pooling::Last, Pooling::Mean].map(|pooling| bench.embed(text, pooling))
                    })
                    .collect();
                for (number, (running, states)) in running.into_iter().zip(&expected).enumerate() {
                    let what = format!("{}, text {number}, {setting:?}", model.name);
                    let [last, of_all] = running.map(|embedding| bench.vector(embedding));
                    assert_eq!(Some(&last), states.last(), "{what}");
                    assert_near(&of_all, &mean(states), &what);
                }
                bench.read(other);
            }
            bench.end();
        }
    }
}

#[test]
fn the_mean_of_a_text_is_that_of_the_last_states_of_its_beginnings() {
    for model in models() {
        let text = &model.cases[2].prompt;
        let bench = Bench::start(model, &PLAIN);
        let last: Vec<_> = (1..=text.len())
            .map(|end| bench.vector(bench.embed(&text[..end], Pooling::Last)))
            .collect();
        let of_all = bench.vector(bench.embed(text, Pooling::Mean));
        bench.end();
        assert_near(&of_all, &mean(&last), model.name);
    }
}
