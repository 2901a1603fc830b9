use super::*;
use crate::{constraint::TokenMask, sampling::choose::choose};

fn hot(seed: u64) -> SamplingParams {
    SamplingParams {
        temperature: 1.0,
        seed,
        ..SamplingParams::default()
    }
}

fn pick(logits: &[f32], params: &SamplingParams, position: usize) -> TokenId {
    choose(logits, params, position).expect("there is a choice")
}

/// What a sequence that has said `tokens`, `prompt_len` of them the prompt, says next.
fn next(logits: &[f32], params: &SamplingParams, tokens: &[TokenId], prompt_len: usize) -> TokenId {
    let mut sampler = Sampler::new(params, tokens, prompt_len);
    let token = sampler.choose(logits, tokens.len(), None);
    token.expect("there is a choice").id
}

/// How often each token is chosen over many positions.
fn histogram(logits: &[f32], params: &SamplingParams, draws: usize) -> Vec<usize> {
    let mut counts = vec![0; logits.len()];
    (0..draws).for_each(|position| counts[pick(logits, params, position) as usize] += 1);
    counts
}

#[test]
fn greedy_takes_the_first_of_equals_and_never_nan() {
    assert_eq!(argmax(&[f32::NAN, 1.0, 3.0, 3.0]), Some(2));
    assert_eq!(argmax(&[f32::NAN, f32::NEG_INFINITY]), None);
}

#[test]
fn temperature_one_draws_in_proportion_to_the_softmax() {
    let logits = [1.0f32.ln(), 2.0f32.ln(), 5.0f32.ln()];
    let counts = histogram(&logits, &hot(7), 80_000);
    // Each count is binomial with a deviation of at most 145: 5 deviations on either side.
    for (count, expected) in counts.iter().zip([10_000.0, 20_000.0, 50_000.0]) {
        assert!((*count as f64 - expected).abs() < 725.0, "{counts:?}");
    }
}

#[test]
fn a_low_temperature_sharpens() {
    let logits = [0.0, 1.0];
    let sharp = SamplingParams {
        temperature: 0.1,
        ..hot(1)
    };
    assert!(
        histogram(&logits, &sharp, 10_000)[0] < 10,
        "e^-10 is 0.45 in 10,000"
    );
}

#[test]
fn top_k_keeps_exactly_the_k_likeliest() {
    let logits = [0.0, 0.3, 0.2, 0.1];
    let counts = histogram(&logits, &SamplingParams { top_k: 2, ..hot(3) }, 1_000);
    assert!(counts[1] > 0 && counts[2] > 0);
    assert_eq!((counts[0], counts[3]), (0, 0));
}

#[test]
fn top_p_keeps_the_smallest_set_that_reaches_the_mass() {
    // Probabilities 0.5, 0.3, 0.2, scattered over a vocabulary wider than the first head that is sorted.
    let mut logits = vec![-60.0; 5_000];
    (logits[4_000], logits[17], logits[999]) = (5.0f32.ln(), 3.0f32.ln(), 2.0f32.ln());
    let kept = |top_p| {
        let counts = histogram(&logits, &SamplingParams { top_p, ..hot(5) }, 300);
        counts.iter().filter(|&&count| count > 0).count()
    };
    assert_eq!([kept(0.4), kept(0.7), kept(0.9)], [1, 2, 3]);
}

#[test]
fn a_flat_distribution_still_has_its_nucleus() {
    let logits = vec![0.0; 3_000];
    let half = SamplingParams {
        top_p: 0.5,
        ..hot(5)
    };
    let counts = histogram(&logits, &half, 30_000);
    assert!(counts[..1_500].iter().filter(|&&count| count > 0).count() > 1_400);
    assert!(counts[1_501..].iter().all(|&count| count == 0));
}

#[test]
fn min_p_compares_with_the_likeliest() {
    let logits = [10.0f32.ln(), 4.0f32.ln(), 1.0f32.ln()];
    let fifth = SamplingParams {
        min_p: 0.2,
        ..hot(5)
    };
    let counts = histogram(&logits, &fifth, 1_000);
    assert!(counts[1] > 0);
    assert_eq!(counts[2], 0);
}

#[test]
fn stop_tokens_come_back_after_min_tokens() {
    let params = SamplingParams {
        stop_token_ids: vec![1],
        min_tokens: 2,
        ..SamplingParams::default()
    };
    let after = |tokens: &[TokenId]| next(&[0.0, 9.0], &params, tokens, 3);
    assert_eq!([after(&[5; 3]), after(&[5; 4]), after(&[5; 5])], [0, 0, 1]);
}

#[test]
fn a_mask_leaves_only_its_own_tokens_and_outranks_min_tokens() {
    let params = SamplingParams {
        stop_token_ids: vec![1],
        min_tokens: 9,
        ..SamplingParams::default()
    };
    let masked = |mask: u32| {
        let mask = TokenMask::from_words([mask]);
        let mut sampler = Sampler::new(&params, &[7], 1);
        let token = sampler.choose(&[0.0, 9.0, 5.0], 1, Some(&mask))?;
        Some(token.id)
    };
    assert_eq!(masked(0b101), Some(2));
    assert_eq!(
        masked(0b011),
        Some(0),
        "the end must wait while there is more to say"
    );
    assert_eq!(masked(0b010), Some(1), "there is nothing more to say");
    assert_eq!(masked(0), None);
}

#[test]
fn a_repetition_penalty_divides_what_is_positive_and_multiplies_what_is_not() {
    let params = SamplingParams {
        repetition_penalty: 2.0,
        ..SamplingParams::default()
    };
    // Token 0 is in the prompt, token 1 in the output: 8 becomes 4, -1 becomes -2.
    assert_eq!(next(&[8.0, 1.0, 5.0], &params, &[0, 1], 1), 2);
    assert_eq!(next(&[8.0, 1.0, 3.0], &params, &[0, 1], 1), 0);
    assert_eq!(next(&[-9.0, -1.0, -1.5], &params, &[0, 1], 1), 2);
}

#[test]
fn presence_counts_once_frequency_counts_each_and_neither_counts_the_prompt() {
    let logits = [5.0, 4.0, 3.5];
    let presence = SamplingParams {
        presence_penalty: 1.2,
        ..SamplingParams::default()
    };
    assert_eq!(next(&logits, &presence, &[0, 0], 2), 0);
    assert_eq!(next(&logits, &presence, &[9, 0], 1), 1);
    assert_eq!(next(&logits, &presence, &[9, 0, 0, 1], 1), 0);
    let frequency = SamplingParams {
        frequency_penalty: 0.8,
        ..SamplingParams::default()
    };
    assert_eq!(next(&logits, &frequency, &[9, 0], 1), 0);
    assert_eq!(next(&logits, &frequency, &[9, 0, 0], 1), 1);
}

#[test]
fn a_sampler_counts_what_it_has_chosen_itself() {
    let params = SamplingParams {
        presence_penalty: 2.0,
        ..SamplingParams::default()
    };
    let mut sampler = Sampler::new(&params, &[9], 1);
    let mut choose = |position| sampler.choose(&[5.0, 4.0, 3.5], position, None).unwrap().id;
    assert_eq!([choose(1), choose(2), choose(3), choose(4)], [0, 1, 2, 0]);
}

#[test]
fn bias_is_added_before_anything_is_chosen() {
    let params = SamplingParams {
        logit_bias: vec![(2, 100.0), (0, -100.0)],
        ..hot(1)
    };
    assert_eq!(next(&[9.0, 0.0, 0.0], &params, &[7], 1), 2);
}

#[test]
fn log_probabilities_are_the_models_own_likeliest_first() {
    let params = SamplingParams {
        logit_bias: vec![(2, 100.0)],
        logprobs: Some(2),
        ..SamplingParams::default()
    };
    let logits = [1.0f32.ln(), 5.0f32.ln(), 2.0f32.ln(), f32::NEG_INFINITY];
    let mut sampler = Sampler::new(&params, &[7], 1);
    let token = sampler.choose(&logits, 1, None).unwrap();
    let logprobs = token.logprobs.unwrap();
    assert_eq!(token.id, 2);
    let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-6, "{a} is not {b}");
    close(logprobs.chosen, 0.25f32.ln());
    assert_eq!([logprobs.top[0].0, logprobs.top[1].0], [1, 2]);
    close(logprobs.top[0].1, 0.625f32.ln());
    assert_eq!(logprobs.top.len(), 2);
}

#[test]
fn seed_and_position_alone_decide_the_draw() {
    let logits: Vec<f32> = (0..500).map(|i| (i % 7) as f32).collect();
    let run = |seed| {
        (0..64)
            .map(|position| pick(&logits, &hot(seed), position))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn rows_without_a_number_leave_no_choice_and_do_not_panic() {
    let params = SamplingParams {
        top_k: 3,
        top_p: 0.5,
        min_p: 0.5,
        logprobs: Some(20),
        ..hot(1)
    };
    for (value, choice) in [
        (f32::NAN, false),
        (f32::NEG_INFINITY, false),
        (f32::INFINITY, true),
    ] {
        let token = Sampler::new(&params, &[1], 1).choose(&[value; 8], 1, None);
        assert_eq!(token.is_some(), choice, "{value}");
    }
}

#[test]
fn parameters_that_make_no_sense_are_named() {
    let refused = |params: SamplingParams| params.check(10).unwrap_err().param;
    let base = SamplingParams::default;
    let cases = [
        (
            "temperature",
            SamplingParams {
                temperature: f32::NAN,
                ..base()
            },
        ),
        (
            "temperature",
            SamplingParams {
                temperature: -0.1,
                ..base()
            },
        ),
        (
            "top_p",
            SamplingParams {
                top_p: 0.0,
                ..base()
            },
        ),
        (
            "top_p",
            SamplingParams {
                top_p: f32::NAN,
                ..base()
            },
        ),
        (
            "min_p",
            SamplingParams {
                min_p: 1.1,
                ..base()
            },
        ),
        (
            "repetition_penalty",
            SamplingParams {
                repetition_penalty: 0.0,
                ..base()
            },
        ),
        (
            "presence_penalty",
            SamplingParams {
                presence_penalty: f32::INFINITY,
                ..base()
            },
        ),
        (
            "frequency_penalty",
            SamplingParams {
                frequency_penalty: f32::NAN,
                ..base()
            },
        ),
        (
            "logit_bias",
            SamplingParams {
                logit_bias: vec![(10, 1.0)],
                ..base()
            },
        ),
        (
            "logit_bias",
            SamplingParams {
                logit_bias: vec![(9, f32::NAN)],
                ..base()
            },
        ),
        (
            "logprobs",
            SamplingParams {
                logprobs: Some(21),
                ..base()
            },
        ),
        (
            "logit_bias",
            SamplingParams {
                logit_bias: vec![(1, 1.0); 11],
                ..base()
            },
        ),
        (
            "stop_token_ids",
            SamplingParams {
                stop_token_ids: vec![1; 4097],
                ..base()
            },
        ),
    ];
    for (param, params) in cases {
        assert_eq!(refused(params), param);
    }
    base().check(10).unwrap();
}
