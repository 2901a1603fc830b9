//! Decode attention on a GPU against a plain one in float64 on the CPU.
//!
//! Outputs: ||out - ref|| <= 5e-3 ||ref||. Queries, keys, probabilities and outputs are rounded to bf16 once each, 1.1e-3 (root
//! mean square) apiece, so some 2.5e-3 is expected. Appended keys: within 2^-8 of each number, which is twice bf16's rounding.
//! Values: exact.

use half::bf16;
use kernels::cuda::{
    Buffer, CudaError, Device, PAGE_LEN, QkNorms,
    decode_attention::{DecodeAttention, DecodeBatch, MAX_CHUNKS, SHAPES, chunks, chunks_bucket},
};

const EPS: f32 = 1e-6;
/// Beside odd ones around pages and chunks: no token (a padded row), and more than 16 chunks of 256.
const LENGTHS: [usize; 14] = [
    1, 31, 0, 32, 33, 255, 256, 257, 0, 1000, 4096, 4097, 5000, 9001,
];

struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    /// Bell-shaped, with variance 1.
    fn number(&mut self) -> f32 {
        let (a, b) = (self.word(), self.word());
        let sum = (a & 0x7fff) + (a >> 15 & 0x7fff) + (b & 0x7fff) + (b >> 15 & 0x7fff);
        (sum as f32 / 32768.0 - 2.0) * 3f32.sqrt()
    }

    fn numbers(&mut self, len: usize) -> Vec<bf16> {
        (0..len).map(|_| bf16::from_f32(self.number())).collect()
    }
}

/// A model's heads, a batch, and a cache that is NaN wherever there is no old token.
struct Case {
    head_len: usize,
    group: usize,
    num_kv: usize,
    len: Vec<usize>,
    page_start: Vec<i32>,
    pages: Vec<i32>,
    cache: Vec<bf16>,
    qkv: Vec<bf16>,
    norms: Option<(Vec<bf16>, Vec<bf16>)>,
    rope: Vec<f32>,
}

impl Case {
    fn new(
        (head_len, group): (usize, usize),
        num_kv: usize,
        len: &[usize],
        is_normed: bool,
    ) -> Self {
        let mut random = Random(head_len as u64 * 100 + group as u64);
        let num_pages: usize = len.iter().map(|len| len.div_ceil(PAGE_LEN)).sum();
        let spare = 5;
        let mut free: Vec<i32> = (0..(num_pages + spare) as i32).collect();
        for i in (1..free.len()).rev() {
            free.swap(i, random.word() as usize % (i + 1));
        }
        let (mut page_start, mut pages) = (vec![], vec![]);
        for len in len {
            page_start.push(pages.len() as i32);
            pages.extend((0..len.div_ceil(PAGE_LEN)).map(|_| free.pop().expect("enough")));
        }
        // The longest two begin with the same pages, as sequences with one prompt do.
        let mut longest: Vec<usize> = (0..len.len()).collect();
        longest.sort_by_key(|&row| len[row]);
        if let [.., from, to] = longest[..] {
            for i in 0..(len[from].saturating_sub(1) / PAGE_LEN).min(7) {
                pages[page_start[to] as usize + i] = pages[page_start[from] as usize + i];
            }
        }
        let page_numbers = 2 * num_kv * PAGE_LEN * head_len;
        let nan = bf16::from_bits(0xffff);
        let mut case = Self {
            head_len,
            group,
            num_kv,
            len: len.to_vec(),
            page_start,
            pages,
            cache: vec![nan; (num_pages + spare) * page_numbers],
            qkv: random.numbers(len.len() * (group + 2) * num_kv * head_len),
            norms: is_normed.then(|| (random.numbers(head_len), random.numbers(head_len))),
            rope: vec![],
        };
        for (row, len) in len.iter().enumerate() {
            for token in 0..len.saturating_sub(1) {
                for kv in [0, 1] {
                    for h in 0..num_kv {
                        let place = case.place(row, token, kv, h);
                        if case.cache[place].is_nan() {
                            case.cache[place..place + head_len]
                                .copy_from_slice(&random.numbers(head_len));
                        }
                    }
                }
            }
        }
        for position in 0..len.iter().max().copied().unwrap_or(0) {
            for i in 0..head_len / 2 {
                let angle = position as f64 * 1e6f64.powf(-2.0 * i as f64 / head_len as f64);
                case.rope.push(angle.cos() as f32);
                case.rope.push(angle.sin() as f32);
            }
        }
        case
    }

    fn rows(&self) -> usize {
        self.len.len()
    }

    fn out_len(&self) -> usize {
        self.group * self.num_kv * self.head_len
    }

    fn qkv_len(&self) -> usize {
        (self.group + 2) * self.num_kv * self.head_len
    }

    /// Where a token's key (0) or value (1) begins in the cache.
    fn place(&self, row: usize, token: usize, kv: usize, h: usize) -> usize {
        let page = self.pages[self.page_start[row] as usize + token / PAGE_LEN] as usize;
        (((page * 2 + kv) * self.num_kv + h) * PAGE_LEN + token % PAGE_LEN) * self.head_len
    }

    /// A head of a row, normalised and rotated.
    fn turned(&self, row: usize, head: usize, norm: Option<&[bf16]>) -> Vec<f64> {
        let hd = self.head_len;
        let begin = row * self.qkv_len() + head * hd;
        let mut x: Vec<f64> = self.qkv[begin..begin + hd]
            .iter()
            .map(|x| x.to_f64())
            .collect();
        if let Some(norm) = norm {
            let scale =
                1.0 / (x.iter().map(|x| x * x).sum::<f64>() / hd as f64 + f64::from(EPS)).sqrt();
            x.iter_mut()
                .zip(norm)
                .for_each(|(x, w)| *x *= scale * w.to_f64());
        }
        let turn = &self.rope[(self.len[row] - 1) * hd..][..hd];
        for i in 0..hd / 2 {
            let (cos, sin) = (f64::from(turn[2 * i]), f64::from(turn[2 * i + 1]));
            let (a, b) = (x[i], x[i + hd / 2]);
            (x[i], x[i + hd / 2]) = (a * cos - b * sin, b * cos + a * sin);
        }
        x
    }

    /// The new keys of a row.
    fn new_keys(&self, row: usize) -> Vec<f64> {
        let norm = self.norms.as_ref().map(|(_, k)| &k[..]);
        let heads = self.group * self.num_kv..(self.group + 1) * self.num_kv;
        heads
            .flat_map(|head| self.turned(row, head, norm))
            .collect()
    }

    /// The outputs of a row.
    fn reference(&self, row: usize) -> Vec<f64> {
        let (hd, len) = (self.head_len, self.len[row]);
        if len == 0 {
            return vec![0.0; self.out_len()];
        }
        let q_norm = self.norms.as_ref().map(|(q, _)| &q[..]);
        let new_keys = self.new_keys(row);
        let mut out = vec![];
        for h in 0..self.num_kv {
            let new_key = &new_keys[h * hd..][..hd];
            let value_at = row * self.qkv_len() + ((self.group + 1) * self.num_kv + h) * hd;
            for i in 0..self.group {
                let q = self.turned(row, h * self.group + i, q_norm);
                let mut scores: Vec<f64> = (0..len - 1)
                    .map(|token| {
                        let key = &self.cache[self.place(row, token, 0, h)..][..hd];
                        q.iter().zip(key).map(|(q, k)| q * k.to_f64()).sum()
                    })
                    .collect();
                scores.push(q.iter().zip(new_key).map(|(q, k)| q * k).sum());
                let scale = 1.0 / (hd as f64).sqrt();
                let most = scores.iter().fold(f64::MIN, |a, b| a.max(*b));
                let weights: Vec<f64> = scores.iter().map(|s| ((s - most) * scale).exp()).collect();
                let total: f64 = weights.iter().sum();
                let mut y = vec![0.0; hd];
                for (token, weight) in weights.iter().enumerate() {
                    let value = if token == len - 1 {
                        &self.qkv[value_at..][..hd]
                    } else {
                        &self.cache[self.place(row, token, 1, h)..][..hd]
                    };
                    y.iter_mut()
                        .zip(value)
                        .for_each(|(y, v)| *y += weight / total * v.to_f64());
                }
                out.extend(y);
            }
        }
        out
    }
}

/// A case on the device.
struct OnDevice {
    op: DecodeAttention,
    cache: Buffer<bf16>,
    qkv: Buffer<bf16>,
    norms: Option<(Buffer<bf16>, Buffer<bf16>)>,
    len: Buffer<i32>,
    page_start: Buffer<i32>,
    pages: Buffer<i32>,
    rope: Buffer<f32>,
    out: Buffer<bf16>,
    rows: usize,
}

impl OnDevice {
    /// The rows that are named, in that order.
    fn new(device: &Device, case: &Case, rows: &[usize]) -> Self {
        let upload = |numbers: &[bf16]| device.upload("numbers", numbers).unwrap();
        let index = |numbers: Vec<i32>| device.upload("indices", &numbers).unwrap();
        let qkv: Vec<bf16> = rows
            .iter()
            .flat_map(|row| &case.qkv[row * case.qkv_len()..][..case.qkv_len()])
            .copied()
            .collect();
        let num_heads = case.group * case.num_kv;
        Self {
            op: DecodeAttention::new(device, rows.len(), num_heads, case.num_kv, case.head_len)
                .unwrap(),
            cache: upload(&case.cache),
            qkv: upload(&qkv),
            norms: case.norms.as_ref().map(|(q, k)| (upload(q), upload(k))),
            len: index(rows.iter().map(|&row| case.len[row] as i32).collect()),
            page_start: index(rows.iter().map(|&row| case.page_start[row]).collect()),
            pages: index(case.pages.clone()),
            rope: device.upload("rope", &case.rope).unwrap(),
            out: device.zeros("output", rows.len() * case.out_len()).unwrap(),
            rows: rows.len(),
        }
    }

    fn launch(&self, device: &Device, num_chunks: usize) -> Result<(), CudaError> {
        let norm = self.norms.as_ref().map(|(q, k)| QkNorms {
            q: q.view(),
            k: k.view(),
            eps: EPS,
        });
        let batch = DecodeBatch {
            len: self.len.view(),
            page_start: self.page_start.view(),
            pages: self.pages.view(),
            rope: self.rope.view(),
            num_rows: self.rows,
            num_chunks,
        };
        self.op.launch(
            device,
            self.qkv.view(),
            self.cache.view(),
            norm,
            &batch,
            self.out.view(),
        )
    }

    /// Outputs as bits, after one launch into poisoned memory.
    fn run(&self, device: &Device, num_chunks: usize) -> Vec<u16> {
        device.fill(self.out.view(), 0xff).unwrap();
        self.launch(device, num_chunks).unwrap();
        self.outputs(device)
    }

    fn outputs(&self, device: &Device) -> Vec<u16> {
        let out = device.read(self.out.view()).unwrap();
        out.iter().map(|x| x.to_bits()).collect()
    }
}

fn all(case: &Case) -> Vec<usize> {
    (0..case.rows()).collect()
}

/// The largest relative error of a row.
fn check_outputs(case: &Case, out: &[u16]) -> f64 {
    let rows = all(case);
    let errors: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = rows
            .iter()
            .map(|&row| {
                scope.spawn(move || {
                    let reference = case.reference(row);
                    let out = &out[row * case.out_len()..][..case.out_len()];
                    let (mut error, mut size) = (0.0, 0.0);
                    for (x, reference) in out.iter().zip(&reference) {
                        error += (bf16::from_bits(*x).to_f64() - reference).powi(2);
                        size += reference * reference;
                    }
                    if case.len[row] == 0 {
                        assert!(out.iter().all(|x| *x == 0), "row {row} is padding: zeros");
                        return 0.0;
                    }
                    (error / size).sqrt()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no fault in a row"))
            .collect()
    });
    for (row, error) in errors.iter().enumerate() {
        assert!(
            *error <= 5e-3,
            "row {row} of {} tokens, heads {} x {}: error {error:.1e}",
            case.len[row],
            case.head_len,
            case.group
        );
    }
    errors.into_iter().fold(0.0, f64::max)
}

fn check_cache(case: &Case, cache: &[bf16]) {
    let mut expected: Vec<u16> = case.cache.iter().map(|x| x.to_bits()).collect();
    for row in (0..case.rows()).filter(|&row| case.len[row] > 0) {
        let keys = case.new_keys(row);
        for h in 0..case.num_kv {
            for i in 0..case.head_len {
                let place = case.place(row, case.len[row] - 1, 0, h) + i;
                let (key, reference) = (cache[place].to_f64(), keys[h * case.head_len + i]);
                assert!(
                    (key - reference).abs() <= reference.abs() / 256.0 + 1e-6,
                    "row {row}'s new key: {key}, not {reference}"
                );
                expected[place] = cache[place].to_bits();
                let value =
                    row * case.qkv_len() + ((case.group + 1) * case.num_kv + h) * case.head_len;
                expected[case.place(row, case.len[row] - 1, 1, h) + i] =
                    case.qkv[value + i].to_bits();
            }
        }
    }
    let differs = (0..cache.len()).find(|&i| cache[i].to_bits() != expected[i]);
    assert_eq!(
        differs, None,
        "the rest of the cache is as it was, new values are exact"
    );
}

#[test]
#[ignore = "needs a GPU"]
fn all_shapes_and_lengths_agree_with_float64() {
    let device = Device::open().unwrap();
    for shape in SHAPES {
        for is_normed in [true, false] {
            let num_kv = if is_normed { 2 } else { 3 };
            let case = Case::new(shape, num_kv, &LENGTHS, is_normed);
            let there = OnDevice::new(&device, &case, &all(&case));
            let out = there.run(&device, MAX_CHUNKS);
            let error = check_outputs(&case, &out);
            check_cache(&case, &device.read(there.cache.view()).unwrap());
            println!(
                "head length {}, group {}, QK-norm {is_normed}: largest error of a row {error:.1e}",
                shape.0, shape.1
            );
        }
    }
}

#[test]
#[ignore = "needs a GPU"]
fn a_row_alone_and_in_any_batch_is_the_same_bits() {
    let device = Device::open().unwrap();
    for shape in [(128, 4), (64, 3)] {
        let case = Case::new(shape, 2, &LENGTHS, true);
        let together = OnDevice::new(&device, &case, &all(&case)).run(&device, MAX_CHUNKS);
        for row in all(&case) {
            let alone = OnDevice::new(&device, &case, &[row]);
            let expected = &together[row * case.out_len()..][..case.out_len()];
            let least = chunks_bucket(case.len[row]);
            for num_chunks in [1, 2, 4, 8, 16] {
                if num_chunks >= least {
                    let out = alone.run(&device, num_chunks);
                    assert!(
                        out == expected,
                        "{} tokens in a grid of {num_chunks} chunks",
                        case.len[row]
                    );
                }
            }
        }
        let backwards: Vec<usize> = all(&case).into_iter().rev().collect();
        let out = OnDevice::new(&device, &case, &backwards).run(&device, MAX_CHUNKS);
        for (place, row) in backwards.into_iter().enumerate() {
            let (a, b) = (place * case.out_len(), row * case.out_len());
            assert!(
                out[a..a + case.out_len()] == together[b..b + case.out_len()],
                "row {row} in another place"
            );
        }
    }
}

#[test]
#[ignore = "needs a GPU"]
fn a_large_batch_agrees_with_float64() {
    let device = Device::open().unwrap();
    let len: Vec<usize> = (0..150).map(|row| row * 7 % 600).collect();
    let case = Case::new((128, 4), 8, &len, true);
    let there = OnDevice::new(&device, &case, &all(&case));
    check_outputs(&case, &there.run(&device, chunks_bucket(600)));
    check_cache(&case, &device.read(there.cache.view()).unwrap());
}

#[test]
#[ignore = "needs a GPU"]
fn a_graph_gives_the_same_bits_each_time() {
    let device = Device::open().unwrap();
    let case = Case::new((128, 4), 8, &LENGTHS, true);
    let there = OnDevice::new(&device, &case, &all(&case));
    let expected = there.run(&device, MAX_CHUNKS);
    // Twice in a graph: the second overlaps the first and uses the same counters.
    let mut graph = device
        .capture(|| {
            there.launch(&device, MAX_CHUNKS)?;
            there.launch(&device, MAX_CHUNKS)
        })
        .unwrap();
    for replay in 0..100 {
        device.fill(there.out.view(), 0xff).unwrap();
        graph.launch().unwrap();
        assert!(there.outputs(&device) == expected, "replay {replay}");
    }
}

#[test]
#[ignore = "needs a GPU"]
fn other_heads_are_refused_with_the_list_of_those_that_are_not() {
    let device = Device::open().unwrap();
    for (num_heads, num_kv, head_len) in [(32, 8, 96), (28, 4, 128), (9, 2, 64), (4, 0, 64)] {
        let error = DecodeAttention::new(&device, 1, num_heads, num_kv, head_len).err();
        let Some(CudaError::Unsupported(text)) = error else {
            panic!("{num_heads} heads, {num_kv} kv heads of {head_len} are accepted");
        };
        assert!(text.contains("128 with 4"), "{text}");
    }
}

#[test]
fn a_bucket_has_room_for_all_shorter_sequences() {
    let mut most = 0;
    for len in 0..40_000 {
        most = most.max(chunks(len));
        assert!(most <= chunks_bucket(len), "{len} tokens");
        assert!(chunks(len) <= MAX_CHUNKS);
    }
    assert_eq!(
        [1, 256, 257, 1024, 4096, 4097, 100_000].map(chunks_bucket),
        [1, 1, 2, 4, 16, 16, 16]
    );
}
