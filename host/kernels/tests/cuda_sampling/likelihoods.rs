//! How often a token is drawn, and how likely it is said to be.

use kernels::cuda::{
    CudaError,
    sampling::{MAX_LOGPROBS, NOTHING_LEFT, SampleRow},
};

use crate::{
    VOCAB_LENS,
    bench::{Bench, Random, sampled},
    reference::{Request, by_weight},
};

#[test]
#[ignore = "needs a GPU"]
fn draws_follow_the_distribution() -> Result<(), CudaError> {
    let (vocab_len, num_draws, launch) = (50, 20_000, 250);
    let bench = Bench::new(vocab_len, launch)?;
    let mut random = Random(3);
    let logits: Vec<f32> = (0..vocab_len).map(|_| 1.2 * random.bell()).collect();
    let cases = [
        SampleRow {
            temperature: 1.0,
            ..SampleRow::greedy(0, 0)
        },
        SampleRow {
            temperature: 0.7,
            top_k: 20,
            top_p: 0.95,
            ..SampleRow::greedy(0, 0)
        },
        SampleRow {
            temperature: 1.3,
            min_p: 0.05,
            top_p: 0.9,
            ..SampleRow::greedy(0, 0)
        },
    ];
    for case in cases {
        let mut counts = vec![0u32; vocab_len];
        for start in (0..num_draws).step_by(launch) {
            let requests: Vec<_> = (0..launch)
                .map(|i| {
                    let position = (start + i) as u64;
                    Request::new(SampleRow {
                        slot: i as i32,
                        position,
                        seed: 11,
                        ..case
                    })
                })
                .collect();
            for token in bench.tokens(std::slice::from_ref(&logits), &requests)? {
                counts[token as usize] += 1;
            }
        }
        let mut tokens = by_weight(&logits, &case);
        let total: f64 = tokens.iter().map(|token| token.1).sum();
        let mut reached = 0.0;
        let mut is_in = true;
        tokens.retain(|token| {
            let keeps = is_in && token.1 >= f64::from(case.min_p);
            reached += token.1;
            is_in &= reached < f64::from(case.top_p) * total;
            keeps
        });
        let total: f64 = tokens.iter().map(|token| token.1).sum();
        let mut chi_square = 0.0;
        for &(token, weight) in &tokens {
            let expected = weight / total * num_draws as f64;
            chi_square += (f64::from(counts[token as usize]) - expected).powi(2) / expected;
            counts[token as usize] = 0;
        }
        assert!(
            counts.iter().all(|count| *count == 0),
            "a token that was cut was drawn"
        );
        // Mean and variance of the statistic are n and 2n; five deviations are far beyond chance for fixed seeds.
        let freedom = (tokens.len() - 1) as f64;
        assert!(
            chi_square < freedom + 5.0 * (2.0 * freedom).sqrt(),
            "{chi_square} with {freedom} degrees of freedom"
        );
    }
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn logprobs_are_those_of_the_raw_logits() -> Result<(), CudaError> {
    let mut random = Random(5);
    for vocab_len in VOCAB_LENS {
        let len = 48;
        let bench = Bench::new(vocab_len, len)?;
        let mut logits: Vec<_> = (0..len).map(|_| random.logits(vocab_len)).collect();
        // Fewer numbers than are asked for.
        logits[0] = vec![f32::NAN; vocab_len];
        (logits[0][3], logits[0][5], logits[0][9]) = (1.0, f32::NEG_INFINITY, 1.0);
        logits[1] = vec![f32::NEG_INFINITY; vocab_len];
        logits[1][30] = -7.0;
        let nums = [0, 1, 5, 20];
        let requests: Vec<_> = (0..len)
            .map(|index| {
                let row = sampled(index, random.pick(&[0.0, 1.0]));
                let num_logprobs = if index < 2 { 20 } else { nums[index % 4] };
                let request = Request::new(SampleRow {
                    num_logprobs,
                    ..row
                });
                match index > 2 && index % 3 == 0 {
                    true => request.masked(vocab_len, |token| token % 3 == 1),
                    false => request,
                }
            })
            .collect();
        let got = bench.choose(&logits, &requests)?;
        for ((choice, logits), request) in got.iter().zip(&logits).zip(&requests) {
            let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let numbers = logits.iter().filter(|logit| !logit.is_nan());
            let sum: f64 = numbers.map(|logit| f64::from(logit - highest).exp()).sum();
            let logprob = |logit: f32| (f64::from(logit - highest) - sum.ln()).max(-9999.0);
            let is_near = |got: f32, want: f64| (f64::from(got) - want).abs() <= 1e-4;
            let chosen = logits[choice.token as usize];
            assert!(is_near(choice.logprobs.chosen, logprob(chosen)));
            let mut tokens: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
            tokens.retain(|(_, logit)| !logit.is_nan());
            tokens.sort_by(|a, b| (b.1 + 0.0).total_cmp(&(a.1 + 0.0)).then(a.0.cmp(&b.0)));
            for at in 0..request.row.num_logprobs as usize {
                let (id, got) = (choice.logprobs.top_ids[at], choice.logprobs.top[at]);
                match tokens.get(at) {
                    Some(&(token, logit)) => {
                        assert_eq!(id, token as i32, "likeliest token {at} of {vocab_len}");
                        assert!(
                            is_near(got, logprob(logit)),
                            "{got}, not {}",
                            logprob(logit)
                        );
                    }
                    None => assert_eq!((id, got), (-1, -9999.0)),
                }
            }
            let rest = &choice.logprobs.top_ids[request.row.num_logprobs as usize..];
            assert!(
                rest.iter().all(|id| *id == -1),
                "only what was asked for is written"
            );
        }
    }
    assert_eq!(MAX_LOGPROBS, 20);
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn tokens_that_are_given_are_only_scored_and_change_nothing_of_their_slot() -> Result<(), CudaError>
{
    let mut random = Random(8);
    for vocab_len in VOCAB_LENS {
        let len = 40;
        let bench = Bench::new(vocab_len, len)?;
        let mut logits: Vec<_> = (0..len).map(|_| random.logits(vocab_len)).collect();
        logits[1] = vec![f32::NAN; vocab_len];
        // A choice, so that the slot has something to lose.
        let choice = bench.choose(&logits[..1], &[Request::new(SampleRow::greedy(0, 0))])?;
        let before = bench.device.read(bench.sampler.last_token())?;
        assert_eq!(before[0], choice[0].token);
        let requests: Vec<_> = (0..len)
            .map(|index| {
                let token = match index {
                    2 => vocab_len,
                    _ => (index * 7919 + 3) % vocab_len,
                };
                Request::new(SampleRow {
                    flags: SampleRow::SCORES,
                    draft: token as i32,
                    num_logprobs: [0, 1, 5, 20][index % 4],
                    // All of them of one slot.
                    ..SampleRow::greedy(0, index as u32)
                })
            })
            .collect();
        let got = bench.choose(&logits, &requests)?;
        for (index, ((choice, logits), request)) in
            got.iter().zip(&logits).zip(&requests).enumerate()
        {
            if index == 1 || index == 2 {
                assert_eq!(choice.token, NOTHING_LEFT);
                continue;
            }
            assert_eq!(choice.token, request.row.draft);
            let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let numbers = logits.iter().filter(|logit| !logit.is_nan());
            let sum: f64 = numbers.map(|logit| f64::from(logit - highest).exp()).sum();
            let logit = logits[request.row.draft as usize];
            let want = f64::from(logit - highest) - sum.ln();
            let want = if want.is_nan() {
                -9999.0
            } else {
                want.max(-9999.0)
            };
            let got = f64::from(choice.logprobs.chosen);
            assert!((got - want).abs() <= 1e-4, "{got}, not {want}");
            let num_top = request.row.num_logprobs as usize;
            assert!(
                choice.logprobs.top_ids[num_top..]
                    .iter()
                    .all(|id| *id == -1)
            );
        }
        assert_eq!(bench.device.read(bench.sampler.last_token())?, before);
    }
    Ok(())
}
