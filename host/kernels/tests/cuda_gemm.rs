//! The skinny matrix product on a GPU, against float64 on the CPU.

use std::thread;

use half::bf16;
use kernels::cuda::{
    Buffer, Device,
    gemm::{Card, Epilogue, MAX_ROWS, Plan, RowScale, SkinnyGemm, Tiling, Weight, num_splits},
};

const EPS: f32 = 1e-6;

/// Uniform in ±1.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 40) as f32 / 8_388_608.0 - 1.0
    }

    fn bf16s(&mut self, len: usize, size: f32) -> Vec<bf16> {
        (0..len)
            .map(|_| bf16::from_f32(self.next() * size))
            .collect()
    }

    fn f32s(&mut self, len: usize, size: f32) -> Vec<f32> {
        (0..len).map(|_| self.next() * size).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Store,
    Residual,
    SiluMul,
    Logits,
}

/// Operands of one product with 64 rows, on both sides.
struct Case {
    kind: Kind,
    n: usize,
    k: usize,
    w: Vec<bf16>,
    x: Vec<bf16>,
    sums: Vec<f32>,
    residual: Vec<f32>,
    norm_weight: Vec<bf16>,
    device_w: Buffer<bf16>,
    device_x: Buffer<bf16>,
    device_sums: Buffer<f32>,
    device_norm_weight: Buffer<bf16>,
    out: Buffer<u8>,
    device_residual: Buffer<f32>,
    sums_out: Buffer<f32>,
}

/// What a product wrote.
#[derive(PartialEq)]
struct Output {
    out: Vec<u8>,
    residual: Vec<f32>,
    sums: Vec<f32>,
}

impl Case {
    fn new(device: &Device, kind: Kind, n: usize, k: usize) -> Self {
        let mut random = Random((n * 31 + k) as u64);
        let w = random.bf16s(n * k, 0.05);
        let x = random.bf16s(MAX_ROWS * k, 2.0);
        let sums: Vec<f32> = (0..MAX_ROWS * k / 16)
            .map(|_| 8.0 + random.next())
            .collect();
        let residual = random.f32s(MAX_ROWS * n, 3.0);
        let norm_weight = random.bf16s(n, 1.0);
        let upload = |numbers: &[bf16]| device.upload("operand", numbers).unwrap();
        Self {
            device_w: upload(&w),
            device_x: upload(&x),
            device_sums: device.upload("operand", &sums).unwrap(),
            device_norm_weight: upload(&norm_weight),
            out: device.zeros("output", MAX_ROWS * n * 4).unwrap(),
            device_residual: device.zeros("output", MAX_ROWS * n).unwrap(),
            sums_out: device.zeros("output", MAX_ROWS * n / 16).unwrap(),
            kind,
            n,
            k,
            w,
            x,
            sums,
            residual,
            norm_weight,
        }
    }

    /// Bytes of a row of `out`.
    fn row_bytes(&self) -> usize {
        match self.kind {
            Kind::Store | Kind::Residual => self.n * 2,
            Kind::SiluMul => self.n,
            Kind::Logits => self.n * 4,
        }
    }

    /// Poisons the outputs and sets the residual.
    fn reset(&self, device: &Device) {
        device.fill(self.out.view(), 0xff).unwrap();
        device.fill(self.sums_out.view(), 0xff).unwrap();
        device
            .write(self.device_residual.view(), &self.residual)
            .unwrap();
    }

    /// Launches for the `m` rows from `first` on, which are written to the outputs' first rows.
    fn launch(
        &self,
        device: &Device,
        gemm: &SkinnyGemm,
        plan: Option<Plan>,
        first: usize,
        m: usize,
    ) {
        let (n, k) = (self.n, self.k);
        let out = self.out.view().slice(0, m * self.row_bytes());
        let weight = Weight {
            view: self.device_w.view(),
            num_rows: n,
            num_cols: k,
        };
        let x = self.device_x.view().slice(first * k, m * k);
        let scale = RowScale {
            sums: self.device_sums.view().slice(first * k / 16, m * k / 16),
            eps: EPS,
        };
        let (scale, epilogue) = match self.kind {
            Kind::Store => (Some(scale), Epilogue::Store { out: out.cast() }),
            Kind::Residual => (
                None,
                Epilogue::Residual {
                    residual: self.device_residual.view().slice(first * n, m * n),
                    norm_weight: self.device_norm_weight.view(),
                    out: out.cast(),
                    sums_out: self.sums_out.view().slice(0, m * n / 16),
                },
            ),
            Kind::SiluMul => (Some(scale), Epilogue::SiluMul { out: out.cast() }),
            Kind::Logits => (Some(scale), Epilogue::Logits { out: out.cast() }),
        };
        let plan = plan.unwrap_or(Plan::of(device.into(), m, n, k));
        gemm.launch_as(plan, device, &weight, x, m, scale, epilogue)
            .unwrap();
    }

    fn output(&self, device: &Device, first: usize, m: usize) -> Output {
        let is_residual = self.kind == Kind::Residual;
        let rows = if is_residual { m } else { 0 };
        let residual = self
            .device_residual
            .view()
            .slice(first * self.n, rows * self.n);
        Output {
            out: device
                .read(self.out.view().slice(0, m * self.row_bytes()))
                .unwrap(),
            residual: device.read(residual).unwrap(),
            sums: device
                .read(self.sums_out.view().slice(0, rows * self.n / 16))
                .unwrap(),
        }
    }

    fn run(
        &self,
        device: &Device,
        gemm: &SkinnyGemm,
        plan: Option<Plan>,
        first: usize,
        m: usize,
    ) -> Output {
        self.reset(device);
        self.launch(device, gemm, plan, first, m);
        self.output(device, first, m)
    }

    /// Nothing beyond the last row may be written.
    fn assert_rest_untouched(&self, device: &Device, m: usize) {
        let bytes = m * self.row_bytes();
        let rest = self.out.view().slice(bytes, self.out.len() - bytes);
        assert!(
            device.read(rest).unwrap().iter().all(|&byte| byte == 0xff),
            "bytes beyond row {m}"
        );
    }

    /// y, scaled, in float64: [row][n].
    fn reference(&self) -> Vec<f64> {
        let (n, k) = (self.n, self.k);
        let widen = |numbers: &[bf16]| -> Vec<f32> {
            numbers.iter().map(|number| number.to_f32()).collect()
        };
        let x = widen(&self.x);
        let scales: Vec<f64> = self
            .sums
            .chunks(k / 16)
            .map(|sums| {
                let sum: f64 = sums.iter().map(|&sum| f64::from(sum)).sum();
                1.0 / (sum / k as f64 + f64::from(EPS)).sqrt()
            })
            .collect();
        let num_threads = thread::available_parallelism().map_or(4, usize::from);
        let share = n.div_ceil(num_threads);
        let mut y = vec![0.0; MAX_ROWS * n];
        thread::scope(|scope| {
            let workers: Vec<_> = (0..num_threads)
                .map(|worker| {
                    let columns = (worker * share).min(n)..((worker + 1) * share).min(n);
                    let (x, w) = (&x, &self.w);
                    scope.spawn(move || {
                        let mut part = Vec::new();
                        for column in columns.clone() {
                            let w = widen(&w[column * k..(column + 1) * k]);
                            for row in x.chunks(k) {
                                // Eight sums, so that the compiler can use lanes.
                                let mut sums = [0.0_f64; 8];
                                for (a, b) in row.chunks_exact(8).zip(w.chunks_exact(8)) {
                                    for lane in 0..8 {
                                        sums[lane] += f64::from(a[lane]) * f64::from(b[lane]);
                                    }
                                }
                                part.push(sums.iter().sum::<f64>());
                            }
                        }
                        (columns, part)
                    })
                })
                .collect();
            for worker in workers {
                let (columns, part) = worker.join().unwrap();
                for (column, sums) in columns.zip(part.chunks(MAX_ROWS)) {
                    for (row, &sum) in sums.iter().enumerate() {
                        let scale = if self.kind == Kind::Residual {
                            1.0
                        } else {
                            scales[row]
                        };
                        y[row * n + column] = sum * scale;
                    }
                }
            }
        });
        y
    }

    /// Compares the output for all rows.
    fn check(&self, output: &Output) {
        let y = self.reference();
        let n = self.n;
        // bf16 keeps 8 bits: an error of 2^-9 at most, 1.7e-3 on average over the numbers; fp32 sums are far closer.
        match self.kind {
            Kind::Store => assert_close(&bf16s(&output.out), &y, 5e-3),
            Kind::Logits => assert_close(&f32s(&output.out), &y, 1e-5),
            Kind::SiluMul => {
                let expected: Vec<f64> = y
                    .chunks(n)
                    .flat_map(|row| {
                        let (gate, up) = row.split_at(n / 2);
                        gate.iter()
                            .zip(up)
                            .map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up)
                            .collect::<Vec<_>>()
                    })
                    .collect();
                assert_close(&bf16s(&output.out), &expected, 5e-3);
            }
            Kind::Residual => {
                let stream: Vec<f64> = self
                    .residual
                    .iter()
                    .zip(&y)
                    .map(|(&residual, y)| f64::from(residual) + y)
                    .collect();
                assert_close(&output.residual, &stream, 1e-5);
                let normed: Vec<f64> = stream
                    .iter()
                    .enumerate()
                    .map(|(i, v)| v * self.norm_weight[i % n].to_f64())
                    .collect();
                assert_close(&bf16s(&output.out), &normed, 5e-3);
                let sums: Vec<f64> = stream
                    .chunks(16)
                    .map(|group| group.iter().map(|v| v * v).sum())
                    .collect();
                assert_close(&output.sums, &sums, 1e-5);
            }
        }
    }
}

fn bf16s(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks(2)
        .map(|pair| bf16::from_le_bytes([pair[0], pair[1]]).to_f32())
        .collect()
}

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks(4)
        .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
        .collect()
}

/// Relative error in the 2-norm; NaN fails.
fn assert_close(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let difference: f64 = found
        .iter()
        .zip(expected)
        .map(|(&a, b)| (f64::from(a) - b).powi(2))
        .sum();
    let norm: f64 = expected.iter().map(|b| b * b).sum();
    let error = (difference / norm).sqrt();
    assert!(
        error <= tolerance,
        "a relative error of {error:.2e}, allowed {tolerance:.0e}"
    );
}

const CASES: [(Kind, usize, usize); 12] = [
    (Kind::Store, 6144, 2560),
    (Kind::Residual, 2560, 4096),
    (Kind::SiluMul, 19456, 2560),
    (Kind::Residual, 2560, 9728),
    (Kind::Logits, 8208, 2560), // the head is longer, no different
    (Kind::Store, 960, 576),
    (Kind::Residual, 576, 576),
    (Kind::SiluMul, 3072, 576),
    (Kind::Residual, 576, 1536),
    (Kind::Logits, 49152, 576),
    (Kind::SiluMul, 48, 64),
    (Kind::Residual, 16, 1088),
];

fn splits_of_all(device: &Device) -> SkinnyGemm {
    let shapes = CASES.map(|(_, n, k)| (n, k));
    SkinnyGemm::with_splits(device, &shapes, |_, _| 8).unwrap()
}

/// One of each kernel, with strips and blocks that do not divide the rows.
fn tilings() -> Vec<Tiling> {
    let mut all = Vec::new();
    for stages in [2, 4, 6] {
        for blocks_per_sm in [1, 2] {
            all.push(Tiling::Stream {
                stages,
                blocks_per_sm,
            });
        }
    }
    for (tokens, tiles, groups, warps, stages) in [
        (16, 1, 1, 4, 4),
        (16, 1, 1, 5, 2),
        (32, 1, 1, 3, 3),
        (32, 1, 1, 2, 6),
        (64, 2, 2, 2, 5),
        (64, 2, 2, 8, 2),
        (64, 5, 2, 2, 3),
        (64, 5, 2, 4, 2),
    ] {
        all.push(Tiling::Tile {
            tokens,
            tiles,
            groups,
            warps,
            stages,
        });
    }
    all
}

#[test]
#[ignore = "needs a GPU"]
fn products_of_all_shapes_and_epilogues_agree_with_float64() {
    let device = Device::open().unwrap();
    let gemm = SkinnyGemm::new(&device, &CASES.map(|(_, n, k)| (n, k))).unwrap();
    for (kind, n, k) in CASES {
        println!("{kind:?} {n} x {k}, {} splits", num_splits(n, k));
        let case = Case::new(&device, kind, n, k);
        case.check(&case.run(&device, &gemm, None, 0, MAX_ROWS));
    }
}

#[test]
#[ignore = "needs a GPU"]
fn a_row_has_the_same_bits_whatever_the_number_of_rows_and_whatever_the_others_hold() {
    let device = Device::open().unwrap();
    let gemm = SkinnyGemm::new(&device, &CASES.map(|(_, n, k)| (n, k))).unwrap();
    for (kind, n, k) in CASES {
        let case = Case::new(&device, kind, n, k);
        let all = case.run(&device, &gemm, None, 0, MAX_ROWS);
        let some = [1, 2, 3, 4, 5, 8, 9, 13, 16, 17, 24, 32, 33, 48, 63];
        for m in (1..MAX_ROWS).filter(|m| n * k < 1_000_000 || some.contains(m)) {
            // At the first row, and where the row is the batch's last.
            for first in [0, MAX_ROWS - m] {
                let some = case.run(&device, &gemm, None, first, m);
                let rows = |len: usize| first * len..(first + m) * len;
                let what = format!("{kind:?} {n} x {k}, rows {first}..{}", first + m);
                assert!(some.out == all.out[rows(case.row_bytes())], "{what}");
                if kind == Kind::Residual {
                    assert!(some.residual == all.residual[rows(n)], "{what}: residual");
                    assert!(some.sums == all.sums[rows(n / 16)], "{what}: sums");
                }
                case.assert_rest_untouched(&device, m);
            }
        }
    }
}

#[test]
#[ignore = "needs a GPU"]
fn all_tilings_give_the_same_bits_for_every_number_of_splits() {
    let device = Device::open().unwrap();
    let gemm = splits_of_all(&device);
    for (kind, n, k) in CASES {
        if n * k > 2560 * 4096 {
            continue;
        }
        let case = Case::new(&device, kind, n, k);
        for splits in [1, 2, 3, 4, 8] {
            let reference = Tiling::Tile {
                tokens: 64,
                tiles: 2,
                groups: 2,
                warps: 6,
                stages: 3,
            };
            let all = case.run(
                &device,
                &gemm,
                Some(Plan {
                    tiling: reference,
                    splits,
                }),
                0,
                MAX_ROWS,
            );
            case.check(&all);
            for tiling in tilings() {
                let plan = Plan { tiling, splits };
                let m = match tiling {
                    Tiling::Stream { .. } => 7,
                    Tiling::Tile { tokens, .. } => tokens - 1,
                };
                if !plan.is_possible((&device).into(), m, n, k) {
                    continue;
                }
                let some = case.run(&device, &gemm, Some(plan), 0, m);
                assert!(
                    some.out == all.out[..m * case.row_bytes()],
                    "{kind:?} {n} x {k}: {plan:?}"
                );
                case.assert_rest_untouched(&device, m);
            }
        }
    }
}

#[test]
#[ignore = "needs a GPU"]
fn plans_for_smaller_cards_give_the_same_bits() {
    let device = Device::open().unwrap();
    let gemm = SkinnyGemm::new(&device, &CASES.map(|(_, n, k)| (n, k))).unwrap();
    for (num_sms, max_shared_bytes) in [(80, 99 * 1024), (108, 163 * 1024)] {
        let card = Card {
            num_sms,
            max_shared_bytes,
        };
        for (kind, n, k) in CASES {
            let case = Case::new(&device, kind, n, k);
            let all = case.run(&device, &gemm, None, 0, MAX_ROWS);
            for m in [1, 4, 7, 16, 23, 32, 64] {
                let plan = Plan::of(card, m, n, k);
                let some = case.run(&device, &gemm, Some(plan), 0, m);
                assert!(
                    some.out == all.out[..m * case.row_bytes()],
                    "{kind:?} {n} x {k}: {plan:?}"
                );
            }
        }
    }
}

#[test]
#[ignore = "needs a GPU"]
fn a_recorded_product_can_be_replayed() {
    let device = Device::open().unwrap();
    let shape = (2560, 9728);
    let gemm = SkinnyGemm::new(&device, &[shape]).unwrap();
    let case = Case::new(&device, Kind::Residual, shape.0, shape.1);
    for m in [1, 16, 32, 64] {
        case.reset(&device);
        for _ in 0..3 {
            case.launch(&device, &gemm, None, 0, m);
        }
        let expected = case.output(&device, 0, m);
        let mut graph = device
            .capture(|| {
                case.launch(&device, &gemm, None, 0, m);
                Ok::<_, kernels::cuda::CudaError>(())
            })
            .unwrap();
        case.reset(&device);
        for _ in 0..3 {
            graph.launch().unwrap();
        }
        assert!(case.output(&device, 0, m) == expected, "{m} rows");
    }
}
