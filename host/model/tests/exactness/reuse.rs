//! What was computed before, or guessed, saves work and changes nothing.

use engine::{Caching, Overlap, SamplingParams};

use crate::{
    ask::{Ask, Said},
    bench::Bench,
    models::{self, Model},
    setting::{AMPLE, PLAIN, Runs, Setting, TINY},
};

fn models() -> [&'static Model; 3] {
    [models::tied(), models::untied(), models::demo()]
}

/// What is said to a request by itself.
fn plain(model: &Model, ask: &Ask) -> Said {
    let bench = Bench::start(model, &PLAIN);
    let answer = bench.answer(ask);
    bench.end();
    answer.said
}

/// As in production, but for what is left to vary.
const BUSY: Setting = Setting {
    runner: Runs::OnItsThread,
    overlap: Overlap::On,
    caching: Caching::On,
    max_num_seqs: 4,
    ..PLAIN
};

#[test]
fn a_conversation_that_goes_on_reads_its_earlier_answer_from_the_cache() {
    for model in models() {
        let first = model.greedy(2);
        let said = plain(model, &first);
        let conversation = [&first.prompt[..], &said.tokens, &[5, 6, 7]].concat();
        let second = Ask {
            name: "second turn",
            prompt: conversation,
            ..first.clone()
        };
        let said_then = plain(model, &second);
        for num_draft_tokens in [0, 4] {
            for overlap in [Overlap::On, Overlap::Off] {
                let setting = Setting {
                    num_draft_tokens,
                    overlap,
                    ..BUSY
                };
                let bench = Bench::start(model, &setting);
                let name = model.name;
                assert_eq!(bench.answer(&first).said, said, "{name}, {setting:?}");
                let answer = bench.answer(&second);
                bench.end();
                // The last token of the first answer was never computed.
                let computed_len = first.prompt.len() + said.tokens.len() - 1;
                assert_eq!(
                    answer.cached_len,
                    computed_len / 16 * 16,
                    "{name}, {setting:?}"
                );
                assert_eq!(answer.said, said_then, "{name}, second turn, {setting:?}");
            }
        }
    }
}

#[test]
fn guesses_that_are_right_save_steps_and_change_no_text() {
    for model in models() {
        let greedy = Ask {
            name: "repetitive, greedy",
            prompt: model.repetitive.clone(),
            ..model.greedy(0)
        };
        let sampled = Ask {
            name: "repetitive, sampled",
            sampling: SamplingParams {
                temperature: 0.4,
                seed: 3,
                ..greedy.sampling.clone()
            },
            ..greedy.clone()
        };
        for ask in [greedy, sampled] {
            let said = plain(model, &ask);
            for runner in [Runs::Bare, Runs::OnItsThread] {
                let setting = Setting {
                    runner,
                    num_draft_tokens: 4,
                    ..BUSY
                };
                let bench = Bench::start(model, &setting);
                let answer = bench.answer(&ask);
                let (stats, _) = bench.end();
                let what = format!("{}, {}, {setting:?}: {stats:?}", model.name, ask.name);
                assert_eq!(answer.said, said, "{what}");
                assert!(stats.accepted_tokens > 0, "{what}");
                // One step more is that of the request that ends the engine.
                let num_tokens = said.tokens.len() as u64;
                let num_steps = num_tokens - stats.accepted_tokens + 1;
                assert_eq!(stats.steps, num_steps, "{what}");
            }
        }
    }
}

#[test]
fn each_sample_of_a_prompt_says_what_it_says_alone() {
    for model in models() {
        let ask = model.sampled(3, 40);
        let expected = [0, 1, 2].map(|sample| {
            let mut alone = ask.clone();
            alone.sampling.seed += sample;
            plain(model, &alone)
        });
        assert_ne!(expected[0], expected[1], "{}", model.name);
        for caching in [Caching::On, Caching::Off] {
            for num_blocks in [AMPLE, TINY] {
                let setting = Setting {
                    caching,
                    num_blocks,
                    ..BUSY
                };
                let bench = Bench::start(model, &setting);
                let samples = bench.samples(&ask, expected.len());
                for (sample, said) in samples.into_iter().zip(&expected) {
                    let answer = bench.read(sample);
                    assert_eq!(answer.said, *said, "{}, {setting:?}", model.name);
                }
                bench.end();
            }
        }
    }
}
