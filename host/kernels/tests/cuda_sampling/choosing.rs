//! Which token a row chooses.

use kernels::cuda::{
    CudaError,
    sampling::{NOTHING_LEFT, SampleRow},
};

use crate::{
    VOCAB_LENS,
    bench::{Bench, Random, judge_all, sampled},
    reference::{Request, mix},
};

#[test]
#[ignore = "needs a GPU"]
fn every_mix_of_settings_chooses_as_the_reference() -> Result<(), CudaError> {
    let mut random = Random(1);
    let (mut num_rounded, mut num_rows) = (0, 0);
    for vocab_len in VOCAB_LENS {
        let bench = Bench::new(vocab_len, 256)?;
        let len = 160;
        let logits: Vec<_> = (0..len).map(|_| random.logits(vocab_len)).collect();
        let mut requests = Vec::new();
        for index in 0..len {
            let mut row = sampled(index, random.pick(&[0.0, 0.3, 0.7, 1.0, 1.0, 2.5]));
            row.seed = random.bits();
            row.position = random.bits() >> random.below(64);
            // Each alone first, then mixes.
            let on = |of: usize, random: &mut Random| match index {
                0..50 => index % 5 == of,
                _ => random.below(2) == 0,
            };
            if on(0, &mut random) {
                let some = [1, 2, 20, 50, 200, 3000, vocab_len as u32, u32::MAX];
                row.top_k = random.pick(&some);
            }
            if on(1, &mut random) {
                row.top_p = random.pick(&[1e-6, 0.1, 0.5, 0.9, 0.95, 0.99, 0.9999]);
            }
            if on(2, &mut random) {
                row.min_p = random.pick(&[1e-4, 0.02, 0.1, 0.5, 1.0]);
            }
            let mut request = Request::new(row);
            if on(3, &mut random) {
                let share = random.pick(&[2, 10, 400]);
                let (salt, shown) = (random.bits(), random.pick(&[vocab_len, vocab_len * 2 / 3]));
                request = request.masked(shown, |token| {
                    mix(token as u64 ^ salt).is_multiple_of(share)
                });
            }
            if on(4, &mut random) {
                let mut tokens: Vec<u32> = (0..30)
                    .map(|_| random.below(vocab_len + 5) as u32)
                    .collect();
                tokens.sort_unstable();
                tokens.dedup();
                request.bias = tokens
                    .iter()
                    .map(|token| (*token, 20.0 * random.bell()))
                    .collect();
                let stops = (0..9).map(|_| random.below(vocab_len + 5) as u32).collect();
                request = request.without_stops(stops);
            }
            requests.push(request);
        }
        let got = bench.choose(&logits, &requests)?;
        let rounded = judge_all(&got, &logits, &requests);
        println!("{vocab_len} tokens: {rounded} of {len} rows fell on a rounded border");
        (num_rounded, num_rows) = (num_rounded + rounded, num_rows + len);
    }
    assert!(
        num_rounded * 25 <= num_rows,
        "{num_rounded} of {num_rows} rows were rounded"
    );
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn greedy_takes_the_lowest_id_of_the_greatest_numbers() -> Result<(), CudaError> {
    for vocab_len in VOCAB_LENS {
        let bench = Bench::new(vocab_len, 8)?;
        let last = vocab_len - 1;
        let flat = vec![-3.0f32; vocab_len];
        let with = |places: &[(usize, f32)]| {
            let mut logits = flat.clone();
            places
                .iter()
                .for_each(|&(token, logit)| logits[token] = logit);
            logits
        };
        let rows = [
            (flat.clone(), 0),
            (with(&[(last, 2.0)]), last),
            (with(&[(7, 2.0), (last, 2.0), (3, f32::NAN)]), 7),
            (with(&[(9, -0.0), (11, 0.0)]), 9),
            (
                with(&[(12, f32::INFINITY), (13, f32::INFINITY), (2, 1e30)]),
                12,
            ),
            (with(&[(0, f32::NEG_INFINITY), (1, f32::NAN)]), 2),
        ];
        let requests: Vec<_> = (0..rows.len())
            .map(|i| Request::new(SampleRow::greedy(i as i32, i as u32)))
            .collect();
        let (logits, want): (Vec<_>, Vec<_>) = rows.iter().cloned().unzip();
        let want: Vec<i32> = want.iter().map(|token| *token as i32).collect();
        assert_eq!(bench.tokens(&logits, &requests)?, want);
    }
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn where_no_number_is_left_nothing_is_chosen_and_the_slot_stays() -> Result<(), CudaError> {
    for vocab_len in VOCAB_LENS {
        let bench = Bench::new(vocab_len, 16)?;
        let mut infinite = vec![f32::NEG_INFINITY; vocab_len];
        infinite[20] = f32::INFINITY;
        infinite[31] = f32::INFINITY;
        let mut one_finite = infinite.clone();
        one_finite[40] = -5.0;
        let logits = [
            vec![f32::NAN; vocab_len],
            vec![f32::NEG_INFINITY; vocab_len],
            vec![0.5; vocab_len],
            infinite,
            one_finite,
        ];
        let row = |slot: usize, logits_row, temperature| SampleRow {
            logits_row,
            num_logprobs: 3,
            ..sampled(slot, temperature)
        };
        let requests = [
            Request::new(row(0, 0, 0.0)),
            Request::new(row(1, 0, 1.0)),
            Request::new(row(2, 1, 0.0)),
            Request::new(SampleRow {
                top_k: 5,
                top_p: 0.5,
                ..row(3, 1, 1.0)
            }),
            // An empty mask, and one with nothing in it.
            Request::new(SampleRow {
                flags: SampleRow::MASKED,
                ..row(4, 2, 1.0)
            }),
            Request::new(row(5, 2, 0.0)).masked(vocab_len, |_| false),
            // Plus infinity wins when greedy, and is what is left when nothing finite is.
            Request::new(row(6, 3, 1.0)),
            Request::new(SampleRow {
                top_k: 2,
                ..row(7, 4, 1.0)
            }),
            Request::new(row(8, 4, 0.0)),
        ];
        bench.device.fill(bench.sampler.last_token(), 0x11)?;
        let mut want = vec![NOTHING_LEFT; 6];
        want.extend([20, 40, 20]);
        assert_eq!(bench.tokens(&logits, &requests)?, want);
        let last = bench.device.read(bench.sampler.last_token())?;
        assert_eq!(last[..6], [0x1111_1111; 6]);
        assert_eq!(last[6..9], [20, 40, 20]);
    }
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn stop_tokens_wait_for_min_tokens_unless_the_mask_leaves_nothing_else() -> Result<(), CudaError> {
    for vocab_len in VOCAB_LENS {
        let bench = Bench::new(vocab_len, 16)?;
        let stops = vec![3u32, vocab_len as u32 - 1, vocab_len as u32 + 9];
        let mut logits = vec![0.0; vocab_len];
        (logits[3], logits[vocab_len - 1], logits[8]) = (9.0, 8.0, 7.0);
        let last = vocab_len as i32 - 1;
        let only = |allowed: &'static [usize]| move |token: usize| allowed.contains(&token);
        let greedy = |slot: usize| Request::new(SampleRow::greedy(slot as i32, 0));
        let sampled = |slot: usize| {
            Request::new(SampleRow {
                logits_row: 0,
                ..sampled(slot, 1e-3)
            })
        };
        let mut biased = sampled(6).masked(vocab_len, only(&[3, 4]));
        biased = biased.without_stops(vec![3, 4]);
        biased.bias = vec![(4, 10.0), (8, 50.0)];
        let requests = [
            greedy(0).without_stops(stops.clone()),
            greedy(1)
                .masked(vocab_len, only(&[3, 5]))
                .without_stops(stops.clone()),
            // Nothing else: the mask alone holds.
            greedy(2)
                .masked(vocab_len, only(&[3]))
                .without_stops(stops.clone()),
            greedy(3)
                .masked(vocab_len, move |token| token == vocab_len - 1)
                .without_stops(stops.clone()),
            sampled(4)
                .masked(vocab_len, only(&[3]))
                .without_stops(stops.clone()),
            sampled(5)
                .masked(vocab_len, only(&[3, 5]))
                .without_stops(stops.clone()),
            biased,
            // Without a mask there is no such way out.
            greedy(7).without_stops((0..vocab_len.min(4000) as u32).collect()),
        ];
        let got = bench.tokens(&[logits], &requests)?;
        let none_or_next = if vocab_len <= 4000 {
            NOTHING_LEFT
        } else {
            last
        };
        assert_eq!(got, [8, 5, 3, last, 3, 5, 4, none_or_next]);
    }
    Ok(())
}
