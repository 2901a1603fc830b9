//! The same answers in every setting, greedy or sampled.

use engine::Caching;

use crate::{
    ask::{Ask, Said},
    bench::Bench,
    models::{self, Model},
    setting::{AMPLE, PLAIN, Setting},
};

/// Steps before the others join.
const MIDWAY: usize = 3;

#[test]
fn tied_checkpoint_says_in_every_setting_what_the_reference_says() {
    check_golden(models::tied());
}

#[test]
fn untied_checkpoint_says_in_every_setting_what_the_reference_says() {
    check_golden(models::untied());
}

#[test]
fn demo_model_says_the_same_in_settings_that_differ_in_one_thing_or_in_many() {
    let model = models::demo();
    let all = Setting::all();
    let in_one_thing = all.iter().filter(|setting| setting.num_differences() == 1);
    // A prime stride meets every variant of every thing.
    let in_many = all.iter().step_by(31).skip(1);
    let asks = [
        model.greedy(0),
        model.sampled(1, 11),
        model.greedy(3),
        model.sampled(2, 12),
    ];
    check(model, &asks, in_one_thing.chain(in_many));
}

fn check_golden(model: &Model) {
    let greedy: Vec<Ask> = (0..model.cases.len())
        .map(|case| model.greedy(case))
        .collect();
    for (ask, case) in greedy.iter().zip(&model.cases) {
        let bench = Bench::start(model, &PLAIN);
        let said = bench.answer(ask).said;
        bench.end();
        let (said, name) = (&said.tokens[..case.greedy.len()], model.name);
        assert_eq!(said, case.greedy, "{name}, {}, {PLAIN:?}", ask.name);
    }
    let sampled = [
        model.sampled(1, 11),
        model.sampled(2, 12),
        model.sampled(2, 13),
    ];
    let asks = [greedy, sampled.into()].concat();
    check(model, &asks, &Setting::all());
}

/// That every setting gives what the plainest gives.
fn check<'a>(model: &Model, asks: &[Ask], settings: impl IntoIterator<Item = &'a Setting>) {
    let bench = Bench::start(model, &PLAIN);
    let expected: Vec<Said> = asks.iter().map(|ask| bench.answer(ask).said).collect();
    bench.end();
    for setting in settings {
        match setting.max_num_seqs {
            1 => check_alone(model, setting, asks, &expected),
            _ => check_together(model, setting, asks, &expected),
        }
    }
}

/// One request after the other, and all of them again where the cache has them by then.
fn check_alone(model: &Model, setting: &Setting, asks: &[Ask], expected: &[Said]) {
    let name = model.name;
    let bench = Bench::start(model, setting);
    for (ask, said) in asks.iter().zip(expected) {
        let answer = bench.answer(ask);
        assert_eq!(answer.said, *said, "{name}, {}, {setting:?}", ask.name);
        if setting.caching == Caching::Off {
            assert_eq!(answer.cached_len, 0, "{name}, {}, {setting:?}", ask.name);
        }
    }
    if setting.caching == Caching::On {
        for (ask, said) in asks.iter().zip(expected) {
            let answer = bench.answer(ask);
            let what = format!("{name}, {} again, {setting:?}", ask.name);
            assert_eq!(answer.said, *said, "{what}");
            // Whole blocks, but never the last token.
            let cached_len = (ask.prompt.len() - 1) / 16 * 16;
            assert_eq!(answer.cached_len, cached_len, "{what}");
        }
    }
    let (_, seen) = bench.end();
    let longest = asks.iter().map(|ask| ask.prompt.len()).max().unwrap();
    assert_eq!(
        seen.longest_row(),
        setting.chunk_len.min(longest),
        "{name}, {setting:?}"
    );
}

/// All requests at once, but most of them join midway, just when another's client leaves.
fn check_together(model: &Model, setting: &Setting, asks: &[Ask], expected: &[Said]) {
    let name = model.name;
    let bench = Bench::with_gate(model, setting, MIDWAY);
    let leaver = bench.submit(&model.sampled(1, 99));
    let (early, late) = asks.split_at(2);
    let mut running: Vec<_> = early.iter().map(|ask| bench.submit(ask)).collect();
    bench.wait_at_gate();
    running.extend(late.iter().map(|ask| bench.submit(ask)));
    drop(leaver);
    bench.open_gate();
    for ((ask, said), generation) in asks.iter().zip(expected).zip(running) {
        let answer = bench.read(generation);
        assert_eq!(answer.said, *said, "{name}, {}, {setting:?}", ask.name);
    }
    let (stats, seen) = bench.end();
    match setting.num_blocks {
        AMPLE => assert_eq!(seen.most_rows(), 4, "{name}, {setting:?}"),
        _ => assert!(stats.preemptions > 0, "{name}, {setting:?}"),
    }
}
