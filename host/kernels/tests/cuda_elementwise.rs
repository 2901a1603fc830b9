//! The small ops and cuBLASLt's products on a GPU, against float64. Run with `--ignored` where a GPU is.

use half::bf16;
use kernels::cuda::{
    CudaError, Device, Heads, QkNorms,
    cublas_lt::{LtMatmul, Output, Rows},
    elementwise::{
        NormInput, TokenPlaces, TokenSource, embed, noise, qk_norm_rope, rms_norm, rope_table,
        silu_mul, sum_rows,
    },
    gemm::Weight,
};

/// Numbers in -1..1 from a small generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn bf16s(&mut self, len: usize) -> Vec<bf16> {
        (0..len).map(|_| bf16::from_f32(self.next())).collect()
    }

    fn f32s(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.next()).collect()
    }
}

fn wide(numbers: &[bf16]) -> Vec<f64> {
    numbers.iter().map(|number| number.to_f64()).collect()
}

/// Relative error in the Euclidean norm; NaN where either holds one.
fn error(got: impl IntoIterator<Item = f64>, want: &[f64]) -> f64 {
    let (mut difference, mut norm, mut len) = (0.0, 0.0, 0);
    for (got, want) in got.into_iter().zip(want) {
        difference += (got - want).powi(2);
        norm += want.powi(2);
        len += 1;
    }
    assert_eq!(len, want.len());
    (difference / norm).sqrt()
}

/// One rounding to bf16 is 2^-9 at most, and about a third of that on average.
const BF16: f64 = 3e-3;

#[test]
#[ignore = "needs a GPU"]
fn an_embedding_is_the_tables_row_with_the_sums_that_the_next_norm_needs() -> Result<(), CudaError>
{
    let device = Device::open()?;
    let mut random = Random(1);
    for hidden in [576, 2560] {
        let (table, norm) = (random.bf16s(50 * hidden), random.bf16s(hidden));
        let ids = [3i32, -1, 49];
        let [d_table, d_norm] = [
            device.upload("table", &table)?,
            device.upload("norm", &norm)?,
        ];
        let tokens = [
            device.upload("ids", &ids)?,
            device.upload("slots", &[0i32, 1, 2])?,
            device.upload("last", &[9i32, 7, 9])?,
        ];
        let (residual, sums) = (
            device.zeros::<f32>("residual", 3 * hidden)?,
            device.zeros::<f32>("sums", 3 * hidden / 16)?,
        );
        let out = device.zeros::<bf16>("out", 3 * hidden)?;
        let source = TokenSource {
            ids: tokens[0].view(),
            slots: tokens[1].view(),
            last_token: tokens[2].view(),
        };
        let next = NormInput {
            weight: d_norm.view(),
            out: out.view(),
            sums: sums.view(),
        };
        embed(
            &device,
            d_table.view(),
            source,
            hidden,
            residual.view(),
            Some(next),
        )?;
        let (residual, sums, out) = (
            device.read(residual.view())?,
            device.read(sums.view())?,
            device.read(out.view())?,
        );
        for (row, id) in [3, 7, 49].into_iter().enumerate() {
            let x = wide(&table[id * hidden..][..hidden]);
            let rows = row * hidden..(row + 1) * hidden;
            assert!(
                residual[rows.clone()]
                    .iter()
                    .zip(&x)
                    .all(|(got, want)| f64::from(*got) == *want)
            );
            let scaled: Vec<f64> = x
                .iter()
                .zip(wide(&norm))
                .map(|(x, norm)| x * norm)
                .collect();
            assert!(error(wide(&out[rows]), &scaled) < BF16);
            let squares: Vec<f64> = x
                .chunks(16)
                .map(|part| part.iter().map(|x| x * x).sum())
                .collect();
            assert!(
                error(
                    sums[row * hidden / 16..][..hidden / 16]
                        .iter()
                        .map(|sum| f64::from(*sum)),
                    &squares
                ) < 1e-6
            );
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn rows_are_added_up_as_many_as_each_sum_is_of() -> Result<(), CudaError> {
    let device = Device::open()?;
    let mut random = Random(9);
    for hidden in [8, 576, 2560, 4097] {
        let x = random.bf16s(130 * hidden);
        let (starts, lens) = ([0i32, 1, 30, 129], [1i32, 7, 99, 1]);
        let (d_x, d_starts, d_lens) = (
            device.upload("x", &x)?,
            device.upload("starts", &starts)?,
            device.upload("lens", &lens)?,
        );
        let out = device.zeros::<f32>("out", 4 * hidden)?;
        sum_rows(
            &device,
            d_x.view(),
            d_starts.view(),
            d_lens.view(),
            hidden,
            out.view(),
        )?;
        let out = device.read(out.view())?;
        let wide = wide(&x);
        for (index, (start, len)) in starts.into_iter().zip(lens).enumerate() {
            let rows = wide[start as usize * hidden..].chunks(hidden);
            let mut want = vec![0.0; hidden];
            for row in rows.take(len as usize) {
                want.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
            let got = out[index * hidden..][..hidden].iter();
            // Single precision, at most 99 additions.
            assert!(error(got.map(|sum| f64::from(*sum)), &want) < 1e-6);
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn a_norm_takes_the_rows_it_is_told_to() -> Result<(), CudaError> {
    let device = Device::open()?;
    let mut random = Random(2);
    for hidden in [576, 2560, 4096] {
        let (x, weight) = (random.f32s(7 * hidden), random.bf16s(hidden));
        let rows = [6i32, 0, 3];
        let (d_x, d_weight, d_rows) = (
            device.upload("x", &x)?,
            device.upload("w", &weight)?,
            device.upload("rows", &rows)?,
        );
        let out = device.zeros::<bf16>("out", 3 * hidden)?;
        rms_norm(
            &device,
            d_x.view(),
            Some(d_rows.view()),
            3,
            d_weight.view(),
            1e-6,
            out.view(),
        )?;
        let got = device.read(out.view())?;
        for (row, got) in rows.into_iter().zip(got.chunks(hidden)) {
            let x: Vec<f64> = x[row as usize * hidden..][..hidden]
                .iter()
                .map(|x| f64::from(*x))
                .collect();
            let rms = (x.iter().map(|x| x * x).sum::<f64>() / hidden as f64 + 1e-6).sqrt();
            let want: Vec<f64> = x
                .iter()
                .zip(wide(&weight))
                .map(|(x, weight)| x / rms * weight)
                .collect();
            assert!(error(wide(got), &want) < BF16);
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn a_gate_is_silu_times_up() -> Result<(), CudaError> {
    let device = Device::open()?;
    let (rows, ffn) = (5, 1544);
    let gate_up: Vec<bf16> = Random(3)
        .bf16s(rows * 2 * ffn)
        .iter()
        .map(|x| bf16::from_f32(x.to_f32() * 8.0))
        .collect();
    let (d_in, out) = (
        device.upload("gate_up", &gate_up)?,
        device.zeros::<bf16>("out", rows * ffn)?,
    );
    silu_mul(&device, d_in.view(), rows, ffn, out.view())?;
    let want: Vec<f64> = gate_up
        .chunks(2 * ffn)
        .flat_map(|row| {
            let (gate, up) = row.split_at(ffn);
            wide(gate)
                .into_iter()
                .zip(wide(up))
                .map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up)
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(error(wide(&device.read(out.view())?), &want) < BF16);
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn queries_turn_in_place_and_keys_and_values_go_to_their_places() -> Result<(), CudaError> {
    let device = Device::open()?;
    let mut random = Random(4);
    for (head_len, num_heads, num_kv_heads, has_norms) in [(128, 32, 8, true), (64, 9, 3, false)] {
        let heads = Heads {
            num_heads,
            num_kv_heads,
            head_len,
        };
        let (tokens, positions, places) = (3, [0i32, 5, 700], [64i32, 33, 5]);
        let (qkv, norms) = (
            random.bf16s(tokens * heads.qkv_len()),
            [random.bf16s(head_len), random.bf16s(head_len)],
        );
        let frequencies: Vec<f32> = (0..head_len / 2)
            .map(|pair| 5e6f32.powf(-(pair as f32) / (head_len / 2) as f32))
            .collect();
        let (d_qkv, d_q, d_k) = (
            device.upload("qkv", &qkv)?,
            device.upload("norm", &norms[0])?,
            device.upload("norm", &norms[1])?,
        );
        let (d_frequencies, table) = (
            device.upload("frequencies", &frequencies)?,
            device.zeros::<f32>("rope", 1024 * head_len)?,
        );
        rope_table(&device, d_frequencies.view(), table.view())?;
        let (d_positions, d_places) = (
            device.upload("positions", &positions)?,
            device.upload("places", &places)?,
        );
        let cache = device.zeros::<bf16>("cache", 3 * 2 * num_kv_heads * 32 * head_len)?;
        let qk_norms = QkNorms {
            q: d_q.view(),
            k: d_k.view(),
            eps: 1e-6,
        };
        let at = TokenPlaces {
            positions: d_positions.view(),
            places: d_places.view(),
        };
        qk_norm_rope(
            &device,
            d_qkv.view(),
            heads,
            has_norms.then_some(qk_norms),
            table.view(),
            at,
            cache.view(),
        )?;
        let (got, cache) = (device.read(d_qkv.view())?, device.read(cache.view())?);
        for token in 0..tokens {
            for head in 0..num_heads + 2 * num_kv_heads {
                let at = (token * (num_heads + 2 * num_kv_heads) + head) * head_len;
                let x = wide(&qkv[at..][..head_len]);
                let is_value = head >= num_heads + num_kv_heads;
                let norm = &norms[usize::from(head >= num_heads)];
                let want = if is_value {
                    x
                } else {
                    turned(
                        &x,
                        has_norms.then_some(norm),
                        &frequencies,
                        positions[token],
                    )
                };
                let got = if head < num_heads {
                    &got[at..][..head_len]
                } else {
                    let kv_head = (head - num_heads) % num_kv_heads;
                    let (page, place) = (places[token] as usize / 32, places[token] as usize % 32);
                    &cache[(((page * 2 + usize::from(is_value)) * num_kv_heads + kv_head) * 32
                        + place)
                        * head_len..][..head_len]
                };
                assert!(
                    error(wide(got), &want) < BF16,
                    "token {token} head {head} of {head_len}"
                );
            }
        }
    }
    Ok(())
}

fn turned(x: &[f64], norm: Option<&Vec<bf16>>, frequencies: &[f32], position: i32) -> Vec<f64> {
    let half = x.len() / 2;
    let rms = (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64 + 1e-6).sqrt();
    let x: Vec<f64> = match norm {
        Some(norm) => x
            .iter()
            .zip(wide(norm))
            .map(|(x, norm)| x / rms * norm)
            .collect(),
        None => x.to_vec(),
    };
    let angle = |pair: usize| f64::from(position) * f64::from(frequencies[pair]);
    let lower = (0..half).map(|i| x[i] * angle(i).cos() - x[half + i] * angle(i).sin());
    let upper = (0..half).map(|i| x[half + i] * angle(i).cos() + x[i] * angle(i).sin());
    lower.chain(upper).collect()
}

#[test]
#[ignore = "needs a GPU"]
fn noise_is_even_and_the_same_for_the_same_seed() -> Result<(), CudaError> {
    let device = Device::open()?;
    let make = |seed| {
        let out = device.zeros::<bf16>("noise", 100_003)?;
        noise(&device, out.view(), seed, 0.5)?;
        device.read(out.view())
    };
    let (one, again, other) = (make(1)?, make(1)?, make(2)?);
    assert_eq!(one, again);
    assert_ne!(one, other);
    let mean = wide(&one).iter().sum::<f64>() / 100_003.0;
    let variance = wide(&one).iter().map(|x| x * x).sum::<f64>() / 100_003.0;
    // Six standard errors.
    assert!(
        mean.abs() < 0.003 && (variance - 0.25 / 12.0).abs() < 0.0004,
        "{mean} {variance}"
    );
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn cublas_products_are_right_and_a_prompts_row_does_not_depend_on_its_neighbours()
-> Result<(), CudaError> {
    let device = Device::open()?;
    let matmul = LtMatmul::new(&device)?;
    let mut random = Random(5);
    for (n, k) in [(960, 576), (2560, 4096), (6144, 2560)] {
        let (w, x) = (random.bf16s(n * k), random.bf16s(1000 * k));
        let (d_w, d_x) = (device.upload("w", &w)?, device.upload("x", &x)?);
        let weight = Weight {
            view: d_w.view(),
            num_rows: n,
            num_cols: k,
        };
        let run = |first: usize, m: usize, rows| {
            let y = device.zeros::<bf16>("y", m * n)?;
            device.fill(y.view(), 0xff)?;
            matmul.launch(
                &device,
                &weight,
                d_x.view().slice(first * k, m * k),
                m,
                rows,
                Output::Store(y.view()),
            )?;
            device.read(y.view())
        };
        let all = run(0, 1000, Rows::LongPrompts)?;
        for row in [0, 513, 999] {
            let x = wide(&x[row * k..][..k]);
            let want: Vec<f64> = w
                .chunks(k)
                .map(|w| w.iter().zip(&x).map(|(w, x)| w.to_f64() * x).sum())
                .collect();
            assert!(error(wide(&all[row * n..][..n]), &want) < BF16);
        }
        let all_short = run(0, 1000, Rows::ShortPrompts)?;
        assert!(error(wide(&all_short), &wide(&all)) < BF16);
        let mut differing = vec![];
        for (first, m) in [(0, 1), (3, 17), (100, 64), (200, 65), (7, 128), (400, 513)] {
            for (rows, all) in [(Rows::LongPrompts, &all), (Rows::ShortPrompts, &all_short)] {
                if run(first, m, rows)? != all[first * n..][..m * n] {
                    differing.push((rows, m));
                }
            }
            assert!(
                error(
                    wide(&run(first, m, Rows::Batch)?),
                    &wide(&all[first * n..][..m * n])
                ) < BF16
            );
        }
        assert!(
            differing.is_empty(),
            "{n} x {k}: rows of {differing:?} together differ from the same rows of 1000"
        );
        // Added to what is there.
        let sum = device.upload("sum", &vec![1f32; 70 * n])?;
        matmul.launch(
            &device,
            &weight,
            d_x.view(),
            70,
            Rows::LongPrompts,
            Output::Add(sum.view()),
        )?;
        let want: Vec<f64> = wide(&all[..70 * n]).iter().map(|y| y + 1.0).collect();
        assert!(error(device.read(sum.view())?.into_iter().map(f64::from), &want) < BF16);
    }
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn a_graph_does_again_what_was_recorded() -> Result<(), CudaError> {
    let device = Device::open()?;
    let matmul = LtMatmul::new(&device)?;
    let (w, x) = (Random(6).bf16s(128 * 64), Random(7).bf16s(80 * 64));
    let (d_w, d_x, sum) = (
        device.upload("w", &w)?,
        device.upload("x", &x)?,
        device.zeros::<f32>("sum", 80 * 128)?,
    );
    let weight = Weight {
        view: d_w.view(),
        num_rows: 128,
        num_cols: 64,
    };
    let add = || {
        matmul.launch(
            &device,
            &weight,
            d_x.view(),
            80,
            Rows::Batch,
            Output::Add(sum.view()),
        )
    };
    add()?;
    let once = device.read(sum.view())?;
    let mut graph = device.capture(add)?;
    for _ in 0..3 {
        graph.launch()?;
    }
    let want: Vec<f64> = once.iter().map(|sum| 4.0 * f64::from(*sum)).collect();
    assert!(error(device.read(sum.view())?.into_iter().map(f64::from), &want) < 1e-6);
    Ok(())
}
