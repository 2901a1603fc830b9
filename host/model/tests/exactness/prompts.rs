//! A prompt is as likely as it was when the model said it, whatever goes on beside it and however it is cut.

use engine::SamplingParams;

use crate::{
    ask::{Ask, Said},
    bench::Bench,
    models::{self, Model},
    setting::{PLAIN, Setting},
};

#[test]
fn a_prompt_is_as_likely_as_when_the_tied_checkpoint_said_it_in_every_setting() {
    check(models::tied(), &Setting::all());
}

#[test]
fn a_prompt_is_as_likely_as_when_the_untied_checkpoint_said_it_in_every_setting() {
    check(models::untied(), &Setting::all());
}

#[test]
fn a_prompt_is_as_likely_as_when_the_demo_model_said_it_in_settings_of_every_kind() {
    let all = Setting::all();
    // A prime stride meets every variant of every thing.
    check(models::demo(), all.iter().step_by(29));
}

/// A prompt that ends in what the model said to its beginning, with what it said of itself then.
struct Scored {
    ask: Ask,
    said: Said,
}

fn check<'a>(model: &Model, settings: impl IntoIterator<Item = &'a Setting>) {
    let bench = Bench::start(model, &PLAIN);
    let expected: Vec<Scored> = (0..model.cases.len())
        .map(|case| said_before(model, &bench, case))
        .collect();
    bench.end();
    for setting in settings {
        let bench = Bench::start(model, setting);
        // The second time everything is cached where anything is.
        for _ in 0..2 {
            let other = bench.submit(&model.sampled(1, 5));
            let running: Vec<_> = expected
                .iter()
                .map(|Scored { ask, .. }| bench.submit(ask))
                .collect();
            for (Scored { ask, said }, generation) in expected.iter().zip(running) {
                let answer = bench.read(generation);
                let what = format!("{}, {}, {setting:?}", model.name, ask.name);
                assert_eq!(answer.said, *said, "{what}");
                assert_eq!(answer.cached_len, 0, "{what}");
            }
            bench.read(other);
        }
        bench.end();
    }
}

/// Has the model go on from a case, and asks how likely that was.
fn said_before(model: &Model, bench: &Bench, case: usize) -> Scored {
    let sampling = SamplingParams {
        logprobs: Some(2),
        ..SamplingParams::default()
    };
    let first = Ask {
        sampling: sampling.clone(),
        // So that there is room behind it.
        max_tokens: model.answer_len - 4,
        ..model.greedy(case)
    };
    let generated = bench.answer(&first).said;
    let ask = Ask {
        prompt: [&first.prompt[..], &generated.tokens].concat(),
        max_tokens: 2,
        prompt_logprobs: Some(2),
        ..first.clone()
    };
    let said = bench.answer(&ask).said;
    let ids: Vec<_> = said.prompt.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, ask.prompt[1..]);
    let last = &said.prompt[first.prompt.len() - 1..];
    for ((_, score), logprobs) in last.iter().zip(&generated.logprobs) {
        assert_eq!(
            Some(score),
            logprobs.as_ref(),
            "{}, {}",
            model.name,
            ask.name
        );
    }
    Scored { ask, said }
}
