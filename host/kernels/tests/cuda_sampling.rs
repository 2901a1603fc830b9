//! Choosing tokens on a GPU, against a plain reference. Run with `--ignored` where a GPU is.

use std::{collections::HashMap, thread};

use kernels::cuda::{
    CudaError, Device, View,
    sampling::{
        MAX_LOGPROBS, NO_MASK_YET, NOT_REACHED, NOTHING_LEFT, RowLogprobs, SampleInputs, SampleRow,
        Sampler,
    },
};

/// Below one strip, a few strips with an odd end, the models' own, and one whose rows are not aligned.
const VOCAB_LENS: [usize; 5] = [50, 1000, 5001, 49_152, 151_936];

/// Weights are single precision on the device: 1e-7 of a sum, as their errors do not add up.
const ROUNDING: f64 = 2e-7;

// ---- what the device should do

/// A row with what its ranges point at.
#[derive(Clone)]
struct Request {
    row: SampleRow,
    bias: Vec<(u32, f32)>,
    stops: Vec<u32>,
    mask: Vec<u32>,
}

impl Request {
    fn new(row: SampleRow) -> Self {
        Self {
            row,
            bias: Vec::new(),
            stops: Vec::new(),
            mask: Vec::new(),
        }
    }

    fn masked(mut self, vocab_len: usize, allows: impl Fn(usize) -> bool) -> Self {
        self.mask = vec![0; vocab_len.div_ceil(32)];
        for token in (0..vocab_len).filter(|token| allows(*token)) {
            self.mask[token / 32] |= 1 << (token % 32);
        }
        self.row.flags |= SampleRow::MASKED;
        self
    }

    fn without_stops(mut self, stops: Vec<u32>) -> Self {
        self.stops = stops;
        self.row.flags |= SampleRow::BAN_STOPS;
        self
    }

    fn is(&self, flag: u32) -> bool {
        self.row.flags & flag != 0
    }
}

/// Whether a token is in the prompt, and how often in the output.
type Occurrences = HashMap<u32, (bool, u32)>;

fn shape(logits: &[f32], request: &Request, occurrences: &Occurrences) -> Vec<f32> {
    let row = &request.row;
    let mut logits = logits.to_vec();
    if request.is(SampleRow::MASKED) {
        for (token, logit) in logits.iter_mut().enumerate() {
            let word = request.mask.get(token / 32).copied().unwrap_or(0);
            if word >> (token % 32) & 1 == 0 {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
    if request.is(SampleRow::BAN_STOPS) {
        let masked = logits.clone();
        for &token in &request.stops {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        let is_left = logits.iter().any(|logit| *logit > f32::NEG_INFINITY);
        if request.is(SampleRow::MASKED) && !is_left {
            logits = masked;
        }
    }
    for &(token, bias) in &request.bias {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit += bias;
        }
    }
    if request.is(SampleRow::PENALTIES) {
        for (&token, &(_, output_len)) in occurrences {
            let logit = &mut logits[token as usize];
            if *logit > 0.0 {
                *logit /= row.repetition_penalty;
            } else {
                *logit *= row.repetition_penalty;
            }
            if output_len > 0 {
                *logit -= row.presence_penalty;
                *logit -= row.frequency_penalty * output_len as f32;
            }
        }
    }
    logits
}

fn argmax(logits: &[f32]) -> i32 {
    let (mut best, mut highest) = (NOTHING_LEFT, f32::NEG_INFINITY);
    for (token, &logit) in logits.iter().enumerate() {
        if logit > highest {
            (best, highest) = (token as i32, logit);
        }
    }
    best
}

fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn uniform(row: &SampleRow) -> f64 {
    (mix(mix(row.seed) ^ row.position) >> 11) as f64 / (1u64 << 53) as f64
}

/// Tokens with their weights, likeliest first.
fn by_weight(shaped: &[f32], row: &SampleRow) -> Vec<(u32, f64)> {
    let mut tokens: Vec<(u32, f32)> = (0..).zip(shaped.iter().copied()).collect();
    tokens.retain(|(_, logit)| logit.is_finite());
    // Zero plus minus zero is zero: they are equal.
    tokens.sort_by(|a, b| (b.1 + 0.0).total_cmp(&(a.1 + 0.0)).then(a.0.cmp(&b.0)));
    if row.top_k > 0 {
        tokens.truncate(row.top_k as usize);
    }
    let Some(&(_, highest)) = tokens.first() else {
        return Vec::new();
    };
    let weight = |logit: f32| f64::from((logit - highest) / row.temperature).exp();
    tokens
        .iter()
        .map(|&(token, logit)| (token, weight(logit)))
        .collect()
}

/// What is drawn from tokens in the order of their weights.
fn draw(tokens: &[(u32, f64)], top_p: f64, min_p: f64, at: f64) -> i32 {
    let mut left = tokens.to_vec();
    if top_p < 1.0 {
        let enough = top_p * tokens.iter().map(|token| token.1).sum::<f64>();
        let mut reached = 0.0;
        let last = tokens.iter().position(|token| {
            reached += token.1;
            reached >= enough
        });
        left.truncate(last.map_or(tokens.len(), |last| last + 1));
    }
    left.retain(|token| token.1 >= min_p);
    left.sort_by_key(|token| token.0);
    let mut rest = at * left.iter().map(|token| token.1).sum::<f64>();
    for &(token, weight) in &left {
        rest -= weight;
        if rest < 0.0 {
            return token as i32;
        }
    }
    left.last().map_or(NOTHING_LEFT, |token| token.0 as i32)
}

/// Whether a choice is the reference's, or what it would be if sums were rounded otherwise.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Verdict {
    Same,
    Rounded,
    Wrong { want: i32 },
}

fn judge(got: i32, logits: &[f32], request: &Request, occurrences: &Occurrences) -> Verdict {
    let row = &request.row;
    let shaped = shape(logits, request, occurrences);
    let likeliest = argmax(&shaped);
    let tokens = match row.temperature {
        0.0 => Vec::new(),
        _ => by_weight(&shaped, row),
    };
    let same = |want| match got == want {
        true => Verdict::Same,
        false => Verdict::Wrong { want },
    };
    if tokens.is_empty() {
        return same(likeliest);
    }
    let (top_p, min_p, at) = (f64::from(row.top_p), f64::from(row.min_p), uniform(row));
    let want = draw(&tokens, top_p, min_p, at);
    if got == want {
        return Verdict::Same;
    }
    let near = [0.0, -ROUNDING, ROUNDING];
    let is_near = near.iter().any(|p| {
        near.iter().any(|m| {
            near.iter().any(|u| {
                let top_p = if row.top_p < 1.0 {
                    top_p * (1.0 + p)
                } else {
                    1.0
                };
                got == draw(&tokens, top_p, min_p * (1.0 + 2.0 * m), at + u)
            })
        })
    });
    if is_near {
        Verdict::Rounded
    } else {
        same(want)
    }
}

/// Judges many rows on many threads; panics at a wrong one, returns how many were rounded.
fn judge_all(got: &[Choice], logits: &[Vec<f32>], requests: &[Request]) -> usize {
    let verdicts: Vec<Verdict> = thread::scope(|scope| {
        let part_len = got.len().div_ceil(16);
        let parts: Vec<_> = (0..got.len())
            .step_by(part_len)
            .map(|start| {
                scope.spawn(move || {
                    let part = start..got.len().min(start + part_len);
                    part.map(|i| {
                        let request = &requests[i];
                        let row = request.row.logits_row as usize;
                        judge(got[i].token, &logits[row], request, &HashMap::new())
                    })
                    .collect::<Vec<_>>()
                })
            })
            .collect();
        let parts = parts.into_iter().map(|part| part.join().expect("no panic"));
        parts.flatten().collect()
    });
    for (i, verdict) in verdicts.iter().enumerate() {
        assert!(
            !matches!(verdict, Verdict::Wrong { .. }),
            "row {i} of {} tokens chose {}: {verdict:?} by {:?}",
            logits[0].len(),
            got[i].token,
            requests[i].row
        );
    }
    let is_rounded = |verdict: &&Verdict| **verdict == Verdict::Rounded;
    verdicts.iter().filter(is_rounded).count()
}

// ---- running it

struct Bench {
    device: Device,
    sampler: Sampler,
}

#[derive(Clone, Debug)]
struct Choice {
    token: i32,
    logprobs: RowLogprobs,
}

impl PartialEq for Choice {
    /// Bit by bit: poison is NaN.
    fn eq(&self, other: &Self) -> bool {
        let bits = |choice: &Self| {
            let RowLogprobs {
                chosen,
                top_ids,
                top,
            } = choice.logprobs;
            (
                choice.token,
                chosen.to_bits(),
                top_ids,
                top.map(f32::to_bits),
            )
        };
        bits(self) == bits(other)
    }
}

impl Bench {
    fn new(vocab_len: usize, max_rows: usize) -> Result<Self, CudaError> {
        let device = Device::open()?;
        let sampler = Sampler::new(&device, max_rows, vocab_len, max_rows)?;
        Ok(Self { device, sampler })
    }

    /// Chooses for all requests in one launch.
    fn choose(&self, logits: &[Vec<f32>], requests: &[Request]) -> Result<Vec<Choice>, CudaError> {
        let mut rows = Vec::new();
        let (mut bias, mut stops, mut masks) = (Vec::new(), Vec::new(), Vec::new());
        for request in requests {
            rows.push(SampleRow {
                bias_start: bias.len() as u32,
                bias_len: request.bias.len() as u32,
                stop_start: stops.len() as u32,
                stop_len: request.stops.len() as u32,
                mask_start: masks.len() as u32,
                mask_len: request.mask.len() as u32,
                ..request.row
            });
            bias.extend_from_slice(&request.bias);
            stops.extend_from_slice(&request.stops);
            masks.extend_from_slice(&request.mask);
        }
        let (tokens, values): (Vec<u32>, Vec<f32>) = bias.into_iter().unzip();
        let device = &self.device;
        let logits = device.upload("logits", &logits.concat())?;
        let rows = device.upload("rows", &rows)?;
        let (tokens, values) = (
            device.upload("tokens", &tokens)?,
            device.upload("values", &values)?,
        );
        let (stops, masks) = (
            device.upload("stops", &stops)?,
            device.upload("masks", &masks)?,
        );
        device.fill(self.sampler.chosen(), 0xff - 0x80)?;
        device.fill(self.sampler.logprobs(), 0xff)?;
        let inputs = SampleInputs {
            logits: logits.view(),
            rows: rows.view(),
            bias_tokens: tokens.view(),
            bias_values: values.view(),
            stop_tokens: stops.view(),
            mask_words: masks.view(),
        };
        self.sampler.launch(device, &inputs, 0)?;
        let chosen = device.read(self.sampler.chosen().slice(0, requests.len()))?;
        let logprobs = device.read(self.sampler.logprobs().slice(0, requests.len()))?;
        let choices = chosen.into_iter().zip(logprobs);
        Ok(choices
            .map(|(token, logprobs)| Choice { token, logprobs })
            .collect())
    }

    fn tokens(&self, logits: &[Vec<f32>], requests: &[Request]) -> Result<Vec<i32>, CudaError> {
        let choices = self.choose(logits, requests)?;
        Ok(choices.iter().map(|choice| choice.token).collect())
    }
}

struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 += 1;
        mix(self.0)
    }

    /// In 0..1.
    fn share(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u32 << 24) as f32
    }

    fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn bell(&mut self) -> f32 {
        ((0..4).map(|_| self.share()).sum::<f32>() - 2.0) * 1.732
    }

    /// A row of logits: as models have them, flat, with few different values, or all equal; some are no numbers.
    fn logits(&mut self, len: usize) -> Vec<f32> {
        let kind = self.below(8);
        let spread = if kind == 0 { 0.3 } else { 2.5 };
        let mut logits: Vec<f32> = (0..len).map(|_| spread * self.bell()).collect();
        match kind {
            0 | 1 => {}
            2 => logits.iter_mut().for_each(|logit| *logit = logit.round()),
            3 => logits.fill(1.25),
            _ => {
                for _ in 0..len.min(40) {
                    let token = self.below(len);
                    logits[token] = 5.0 + 12.0 * self.share();
                }
            }
        }
        if self.below(3) == 0 {
            for _ in 0..len / 7 {
                let token = self.below(len);
                logits[token] = self.pick(&[f32::NAN, f32::NEG_INFINITY, -0.0, 0.0, f32::MIN]);
            }
        }
        logits
    }
}

fn sampled(slot: usize, temperature: f32) -> SampleRow {
    SampleRow {
        temperature,
        seed: 7 * slot as u64,
        position: slot as u64,
        ..SampleRow::greedy(slot as i32, slot as u32)
    }
}

// ---- tests

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
fn penalties_follow_what_a_sequence_has_said() -> Result<(), CudaError> {
    let mut random = Random(9);
    for vocab_len in VOCAB_LENS {
        let len = 12;
        let bench = Bench::new(vocab_len, len)?;
        let device = &bench.device;
        let mut occurrences = vec![Occurrences::new(); len];
        for (slot, occurrences) in occurrences.iter_mut().enumerate() {
            // Twice each, so that a reset is seen to work.
            for _ in 0..2 {
                occurrences.clear();
                let mut tokens = |len| -> Vec<u32> {
                    (0..len)
                        .map(|_| random.below(vocab_len.min(60)) as u32)
                        .collect()
                };
                let (prompt, output) = (tokens(40), tokens(if slot % 2 == 0 { 70 } else { 0 }));
                bench.sampler.reset(device, slot)?;
                let d_prompt = device.upload("prompt", &prompt)?;
                let d_output = device.upload("output", &output)?;
                bench
                    .sampler
                    .count(device, slot, d_prompt.view(), d_output.view())?;
                device.synchronize()?;
                prompt
                    .iter()
                    .for_each(|token| occurrences.entry(*token).or_default().0 = true);
                output
                    .iter()
                    .for_each(|token| occurrences.entry(*token).or_default().1 += 1);
            }
        }
        for step in 0..6 {
            let logits: Vec<_> = (0..len).map(|_| random.logits(vocab_len)).collect();
            let requests: Vec<_> = (0..len)
                .map(|slot| {
                    Request::new(SampleRow {
                        flags: SampleRow::PENALTIES,
                        position: 100 + step,
                        repetition_penalty: [1.0, 1.3, 0.7][slot % 3],
                        presence_penalty: [0.0, 1.5][slot / 3 % 2],
                        frequency_penalty: [0.4, -0.2][slot / 6],
                        top_k: 30,
                        ..sampled(slot, [0.0, 0.8][slot % 2])
                    })
                })
                .collect();
            let got = bench.tokens(&logits, &requests)?;
            for slot in 0..len {
                let verdict = judge(
                    got[slot],
                    &logits[slot],
                    &requests[slot],
                    &occurrences[slot],
                );
                assert!(
                    !matches!(verdict, Verdict::Wrong { .. }),
                    "slot {slot} of {vocab_len} tokens, step {step}: {} {verdict:?}",
                    got[slot]
                );
                occurrences[slot].entry(got[slot] as u32).or_default().1 += 1;
                let packed = device.read(bench.sampler.occurrences(slot))?;
                for (token, packed) in packed.iter().enumerate() {
                    let (in_prompt, output_len) = occurrences[slot]
                        .get(&(token as u32))
                        .copied()
                        .unwrap_or_default();
                    assert_eq!(*packed, u16::from(in_prompt) << 15 | output_len as u16);
                }
            }
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn counts_stop_at_their_greatest_value() -> Result<(), CudaError> {
    let bench = Bench::new(1000, 2)?;
    let device = &bench.device;
    let many = device.upload("tokens", &vec![7u32; 40_000])?;
    bench
        .sampler
        .count(device, 1, many.view().slice(0, 3), many.view())?;
    let mut logits = vec![0.0; 1000];
    logits[7] = 100.0;
    let row = SampleRow {
        flags: SampleRow::PENALTIES,
        ..SampleRow::greedy(1, 0)
    };
    assert_eq!(bench.tokens(&[logits], &[Request::new(row)])?, [7]);
    let packed = device.read(bench.sampler.occurrences(1))?;
    assert_eq!((packed[6], packed[7], packed[8]), (0, 0xffff, 0));
    assert!(
        device
            .read(bench.sampler.occurrences(0))?
            .iter()
            .all(|count| *count == 0)
    );
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn drafts_go_on_as_far_as_they_were_guessed() -> Result<(), CudaError> {
    let bench = Bench::new(1000, 8)?;
    let peak = |token: usize| {
        let mut logits = vec![0.0; 1000];
        logits[token] = 5.0;
        logits
    };
    let logits = [peak(10), peak(20), peak(30)];
    let row = |slot, logits_row, flags, draft| {
        Request::new(SampleRow {
            flags,
            draft,
            ..SampleRow::greedy(slot, logits_row)
        })
    };
    let on = SampleRow::CONTINUES;
    let first = [
        row(0, 0, 0, 10),
        row(1, 0, 0, 11),
        row(2, 0, 0, 10),
        row(3, 0, 0, -1),
    ];
    let second = [
        row(0, 1, on, 20),
        row(1, 1, on, 20),
        row(2, 1, on, 99),
        row(3, 1, on, 20),
    ];
    let third = [
        row(0, 2, on, -1),
        row(1, 2, on, -1),
        row(2, 2, on, -1),
        Request::new(SampleRow::padding()),
    ];
    assert_eq!(bench.tokens(&logits, &first)?, [10, 10, 10, 10]);
    assert_eq!(
        bench.tokens(&logits, &second)?,
        [20, NOT_REACHED, 20, NOT_REACHED]
    );
    assert_eq!(
        bench.tokens(&logits, &third)?,
        [30, NOT_REACHED, NOT_REACHED, NOTHING_LEFT]
    );
    let last = bench.device.read(bench.sampler.last_token())?;
    assert_eq!(last[..4], [30, 10, 20, 10]);
    // A row whose mask has not come changes nothing, not even whether its draft holds.
    let undecided = SampleRow::UNDECIDED | SampleRow::MASKED;
    assert_eq!(bench.tokens(&logits, &[row(0, 0, 0, 10)])?, [10]);
    assert_eq!(
        bench.tokens(&logits, &[row(0, 1, undecided, 77)])?,
        [NO_MASK_YET]
    );
    assert_eq!(bench.device.read(bench.sampler.last_token())?[0], 10);
    assert_eq!(bench.tokens(&logits, &[row(0, 1, on, -1)])?, [20]);
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn a_row_alone_chooses_what_it_chooses_among_others() -> Result<(), CudaError> {
    let mut random = Random(17);
    for vocab_len in [1000, 151_936] {
        let len = 40;
        let bench = Bench::new(vocab_len, len)?;
        let logits: Vec<_> = (0..len).map(|_| random.logits(vocab_len)).collect();
        let requests: Vec<_> = (0..len)
            .map(|index| {
                let row = SampleRow {
                    top_k: random.pick(&[0, 20, 400]),
                    top_p: random.pick(&[1.0, 0.9]),
                    num_logprobs: random.pick(&[-1, 5, 20]),
                    ..sampled(index, random.pick(&[0.0, 0.7, 1.5]))
                };
                match index % 3 {
                    0 => Request::new(row).masked(vocab_len, |token| token % 2 == 0),
                    _ => Request::new(row),
                }
            })
            .collect();
        let together = bench.choose(&logits, &requests)?;
        assert_eq!(bench.choose(&logits, &requests)?, together, "again");
        for (index, want) in together.iter().enumerate() {
            let mut alone = requests[index].clone();
            alone.row.logits_row = 0;
            let got = bench.choose(&logits[index..=index], &[alone])?;
            assert_eq!(got[0], *want, "row {index} of {vocab_len} tokens");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn a_graph_goes_on_with_new_rows_and_the_state_that_it_left() -> Result<(), CudaError> {
    let (vocab_len, num_rows) = (5001, 4);
    let bench = Bench::new(vocab_len, 2 * num_rows)?;
    let (device, sampler) = (&bench.device, &bench.sampler);
    let mut random = Random(23);
    let logits: Vec<f32> = (0..num_rows * vocab_len).map(|_| random.bell()).collect();
    let d_logits = device.upload("logits", &logits)?;
    let rows = device.upload("rows", &[SampleRow::padding(); 4])?;
    let inputs = SampleInputs {
        logits: d_logits.view(),
        rows: rows.view(),
        bias_tokens: View::none(),
        bias_values: View::none(),
        stop_tokens: View::none(),
        mask_words: View::none(),
    };
    let first_output = 3;
    let mut graph = device.capture(|| sampler.launch(device, &inputs, first_output))?;
    let mut occurrences = vec![Occurrences::new(); num_rows];
    for step in 0..20 {
        device.fill(sampler.chosen(), 0x7f)?;
        let mut requests = Vec::new();
        for slot in 0..num_rows {
            let mut row = SampleRow {
                flags: SampleRow::PENALTIES,
                position: step,
                frequency_penalty: 1.0,
                ..sampled(slot, [0.0, 1.0][slot % 2])
            };
            if (step as usize + slot).is_multiple_of(5) {
                row = SampleRow::padding();
            }
            requests.push(Request::new(row));
        }
        let now: Vec<_> = requests.iter().map(|request| request.row).collect();
        device.write(rows.view(), &now)?;
        graph.launch()?;
        let chosen = device.read(sampler.chosen())?;
        assert_eq!(
            (chosen[2], chosen[7]),
            (0x7f7f_7f7f, 0x7f7f_7f7f),
            "other outputs stay"
        );
        for slot in 0..num_rows {
            let got = chosen[first_output + slot];
            if now[slot].slot < 0 {
                assert_eq!(got, NOTHING_LEFT);
                continue;
            }
            let logits = &logits[slot * vocab_len..][..vocab_len];
            let verdict = judge(got, logits, &requests[slot], &occurrences[slot]);
            assert!(
                !matches!(verdict, Verdict::Wrong { .. }),
                "{step} {slot} {verdict:?}"
            );
            occurrences[slot].entry(got as u32).or_default().1 += 1;
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn rows_that_point_outside_read_nothing_there() -> Result<(), CudaError> {
    let bench = Bench::new(50, 8)?;
    let device = &bench.device;
    let logits = device.upload("logits", &[1.0f32; 50])?;
    let far = u32::MAX - 3;
    let row = SampleRow::greedy(0, 0);
    let rows = [
        SampleRow {
            logits_row: 1,
            ..row
        },
        SampleRow { slot: 8, ..row },
        SampleRow {
            slot: 2,
            bias_start: far,
            bias_len: 100,
            ..row
        },
        SampleRow {
            slot: 3,
            flags: SampleRow::MASKED,
            mask_start: 1,
            mask_len: far,
            ..row
        },
        SampleRow {
            slot: 4,
            flags: SampleRow::BAN_STOPS,
            stop_start: 1,
            stop_len: far,
            ..row
        },
        SampleRow {
            slot: 5,
            num_logprobs: i32::MAX,
            top_k: u32::MAX,
            temperature: 1.0,
            top_p: 1e-9,
            ..row
        },
    ];
    let rows = device.upload("rows", &rows)?;
    let (tokens, values) = (
        device.upload("tokens", &[4u32])?,
        device.upload("values", &[1.0f32])?,
    );
    let words = device.upload("words", &[0u32, 1 << 9])?;
    let stops = device.upload("stops", &[9u32, 0])?;
    let inputs = SampleInputs {
        logits: logits.view(),
        rows: rows.view(),
        bias_tokens: tokens.view(),
        bias_values: values.view(),
        stop_tokens: stops.view(),
        mask_words: words.view(),
    };
    bench.sampler.launch(device, &inputs, 0)?;
    let chosen = device.read(bench.sampler.chosen())?;
    assert_eq!(chosen[..6], [NOTHING_LEFT, NOTHING_LEFT, 0, 9, 1, 0]);
    Ok(())
}
