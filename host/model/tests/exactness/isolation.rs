//! Requests of every kind in one batch: each is answered as if it were alone.

use engine::{Caching, Event, FinishReason, Overlap, SamplingParams, fake::Residue};

use crate::{
    ask::{Ask, Said},
    bench::Bench,
    models::{self, Model},
    setting::{AMPLE, PLAIN, Runs, Setting, TINY},
};

#[test]
fn requests_of_every_kind_do_not_disturb_each_other_on_the_tied_checkpoint() {
    check(models::tied());
}

#[test]
fn requests_of_every_kind_do_not_disturb_each_other_on_the_untied_checkpoint() {
    check(models::untied());
}

#[test]
fn requests_of_every_kind_do_not_disturb_each_other_on_the_demo_model() {
    check(models::demo());
}

#[test]
fn a_request_of_any_kind_goes_on_after_a_preemption_as_if_nothing_had_been() {
    for model in [models::tied(), models::untied(), models::demo()] {
        check_preempted(model);
    }
}

const CONSTRAINED_LEN: usize = 20;

/// One request of each kind. `greedy` is the plain answer to the first case.
fn kinds(model: &Model, greedy: &Said) -> Vec<Ask> {
    let kind = |name, case: usize, sampling| Ask {
        name,
        sampling,
        ..model.greedy(case)
    };
    let default = || SamplingParams {
        logprobs: Some(2),
        ..SamplingParams::default()
    };
    let residue = |remainder| Residue {
        divisor: 7,
        remainder,
        len: CONSTRAINED_LEN,
        vocab_len: model.vocab_len,
    };
    let is_new = |index: &usize| !greedy.tokens[..*index].contains(&greedy.tokens[*index]);
    let late = (5..)
        .find(is_new)
        .expect("the answer does not repeat itself at once");
    #[rustfmt::skip]
    let mut kinds = vec![
        kind("greedy", 0, SamplingParams::default()),
        kind("hot", 1, SamplingParams { temperature: 1.3, seed: 5, ..default() }),
        kind("truncated", 2, SamplingParams {
            temperature: 0.8, top_k: 20, top_p: 0.9, min_p: 0.02, seed: 6, ..default()
        }),
        kind("penalised", 3, SamplingParams {
            repetition_penalty: 1.3, presence_penalty: 0.5, frequency_penalty: 0.4, ..default()
        }),
        kind("biased", 0, SamplingParams {
            logit_bias: vec![(greedy.tokens[0], -100.0), (greedy.tokens[1], 2.0)], ..default()
        }),
        kind("with many log probabilities", 1, SamplingParams { logprobs: Some(20), ..default() }),
        kind("stopped", 0, SamplingParams {
            stop_token_ids: vec![greedy.tokens[late]], min_tokens: 5, ..default()
        }),
        kind("kept from stopping", 0, SamplingParams {
            stop_token_ids: vec![greedy.tokens[2]], min_tokens: 5, ..default()
        }),
        kind("constrained", 2, default()),
        kind("constrained, hot and penalised", 3, SamplingParams {
            temperature: 1.3, seed: 7, presence_penalty: 1.0, ..default()
        }),
    ];
    kinds[8].form = Some(residue(3));
    kinds[9].form = Some(residue(0));
    kinds
}

fn check(model: &Model) {
    let bench = Bench::start(model, &PLAIN);
    let greedy = bench.answer(&model.greedy(0)).said;
    let kinds = kinds(model, &greedy);
    let alone: Vec<Said> = kinds.iter().map(|ask| bench.answer(ask).said).collect();
    bench.end();
    check_that_kinds_are_what_they_are(model, &kinds, &alone);
    let name = model.name;
    for (runner, overlap) in [(Runs::Bare, Overlap::Off), (Runs::OnItsThread, Overlap::On)] {
        for num_draft_tokens in [0, 4] {
            for num_blocks in [AMPLE, TINY] {
                let setting = Setting {
                    runner,
                    overlap,
                    caching: Caching::On,
                    chunk_len: 32,
                    max_num_seqs: kinds.len(),
                    num_draft_tokens,
                    num_blocks,
                };
                let bench = Bench::with_gate(model, &setting, 2);
                let (early, late) = kinds.split_at(kinds.len() / 2);
                let mut running: Vec<_> = early.iter().map(|ask| bench.submit(ask)).collect();
                bench.wait_at_gate();
                running.extend(late.iter().map(|ask| bench.submit(ask)));
                bench.open_gate();
                for ((ask, said), generation) in kinds.iter().zip(&alone).zip(running) {
                    let answer = bench.read(generation);
                    assert_eq!(answer.said, *said, "{name}, {}, {setting:?}", ask.name);
                }
                let (stats, seen) = bench.end();
                let what = format!("{name}, {setting:?}: {seen:?}, {stats:?}");
                match num_blocks {
                    AMPLE => assert!(seen.most_rows() > kinds.len() / 2, "{what}"),
                    _ => assert!(stats.preemptions > 0, "{what}"),
                }
            }
        }
    }
}

/// Beside a request that came first and takes its blocks away.
fn check_preempted(model: &Model) {
    let first = model.greedy(0);
    let bench = Bench::start(model, &PLAIN);
    let greedy = bench.answer(&first).said;
    let kinds = kinds(model, &greedy);
    let kinds = kinds.into_iter().map(|kind| Ask {
        // So short that both are admitted to three blocks, and so long an answer that each comes to want all three.
        prompt: model.cases[1].prompt.clone(),
        ..kind
    });
    let alone: Vec<(Ask, Said)> = kinds
        .map(|ask| {
            let said = bench.answer(&ask).said;
            (ask, said)
        })
        .collect();
    bench.end();
    let setting = Setting {
        runner: Runs::OnItsThread,
        overlap: Overlap::On,
        max_num_seqs: 2,
        num_blocks: 3,
        ..PLAIN
    };
    for (ask, said) in &alone {
        let bench = Bench::start(model, &setting);
        let running = [&first, ask].map(|ask| bench.submit(ask));
        let [_, answer] = running.map(|generation| bench.read(generation).said);
        let (stats, _) = bench.end();
        let what = format!("{}, {}, {setting:?}", model.name, ask.name);
        assert_eq!(answer, *said, "{what}");
        // Those that end sooner may be gone before the first wants their blocks.
        let must_be_preempted = said.tokens.len() >= CONSTRAINED_LEN;
        assert!(stats.preemptions > 0 || !must_be_preempted, "{what}");
    }
}

/// Else nothing would be shown by their being equal.
fn check_that_kinds_are_what_they_are(model: &Model, kinds: &[Ask], alone: &[Said]) {
    let name = model.name;
    let stopped = FinishReason::Stop;
    for (ask, said) in kinds.iter().zip(alone) {
        let plain = Ask {
            sampling: SamplingParams {
                logprobs: ask.sampling.logprobs,
                ..SamplingParams::default()
            },
            form: None,
            ..ask.clone()
        };
        let bench = Bench::start(model, &PLAIN);
        let plain = bench.answer(&plain).said;
        bench.end();
        let differs = said.tokens != plain.tokens;
        let should_differ = !["greedy", "with many log probabilities"].contains(&ask.name);
        assert_eq!(differs, should_differ, "{name}, {}", ask.name);
        let ends_early = matches!(said.end, Event::Finished { reason, .. } if reason == stopped);
        if ask.name == "stopped" {
            assert!(ends_early, "{name}, {}", ask.name);
        }
        if let Some(form) = &ask.form {
            assert!(said.tokens.iter().all(|token| form.allows(*token)));
            assert_eq!((said.tokens.len(), ends_early), (CONSTRAINED_LEN, true));
        }
    }
}
