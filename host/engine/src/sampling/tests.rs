use super::*;

fn hot(seed: u64) -> SamplingParams {
    SamplingParams {
        temperature: 1.0,
        seed,
        ..SamplingParams::default()
    }
}

/// How often each token is chosen over many positions.
fn histogram(logits: &[f32], params: &SamplingParams, draws: usize) -> Vec<usize> {
    let mut counts = vec![0; logits.len()];
    (0..draws).for_each(|position| counts[sample(logits, params, position) as usize] += 1);
    counts
}

#[test]
fn greedy_takes_the_first_of_equals_and_never_nan() {
    assert_eq!(argmax(&[f32::NAN, 1.0, 3.0, 3.0], &[]), 2);
    assert_eq!(argmax(&[f32::NAN, f32::NAN], &[]), 0);
    assert_eq!(argmax(&[5.0, 1.0, 3.0], &[0]), 2);
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
    let counts = histogram(
        &logits,
        &SamplingParams {
            top_p: 0.5,
            ..hot(5)
        },
        30_000,
    );
    assert!(counts[..1_500].iter().filter(|&&count| count > 0).count() > 1_400);
    assert!(counts[1_501..].iter().all(|&count| count == 0));
}

#[test]
fn min_p_compares_with_the_likeliest() {
    let logits = [10.0f32.ln(), 4.0f32.ln(), 1.0f32.ln()];
    let counts = histogram(
        &logits,
        &SamplingParams {
            min_p: 0.2,
            ..hot(5)
        },
        1_000,
    );
    assert!(counts[1] > 0);
    assert_eq!(counts[2], 0);
}

#[test]
fn forbidden_tokens_come_back_at_their_position() {
    let params = SamplingParams {
        forbidden: vec![1],
        forbidden_before: 4,
        ..SamplingParams::default()
    };
    assert_eq!(
        [
            sample(&[0.0, 9.0], &params, 3),
            sample(&[0.0, 9.0], &params, 4)
        ],
        [0, 1]
    );
    let hot = SamplingParams {
        temperature: 1.0,
        ..params
    };
    assert_eq!(sample(&[0.0, 50.0], &hot, 3), 0);
}

#[test]
fn seed_and_position_alone_decide_the_draw() {
    let logits: Vec<f32> = (0..500).map(|i| (i % 7) as f32).collect();
    let run = |seed| {
        (0..64)
            .map(|position| sample(&logits, &hot(seed), position))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn rows_without_a_number_do_not_panic() {
    let params = SamplingParams {
        top_k: 3,
        top_p: 0.5,
        min_p: 0.5,
        ..hot(1)
    };
    for logits in [[f32::NAN; 8], [f32::NEG_INFINITY; 8], [f32::INFINITY; 8]] {
        assert!(sample(&logits, &params, 0) < 8);
    }
}
