//! Prefill attention against the same in float64, and its promise that a row depends on nothing but its own sequence.

use half::bf16;
use kernels::cuda::{
    Device, Heads,
    prefill_attention::{Sequences, Version, prefill_attention_by, tiles},
};

const PAGE_LEN: usize = 32;

/// Random bits for `seed`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e3779b97f4a7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
        z ^ (z >> 31)
    }

    /// About normal.
    fn normal(&mut self) -> f32 {
        let sum: i32 = self.next().to_le_bytes().into_iter().map(i32::from).sum();
        (sum - 1020) as f32 / 209.0
    }

    fn normals(&mut self, len: usize, scale: f32) -> Vec<bf16> {
        (0..len)
            .map(|_| bf16::from_f32(self.normal() * scale))
            .collect()
    }
}

/// A whole prompt: queries `[token][head][head_len]`, keys and values `[token][kv head][head_len]`.
struct Prompt {
    q: Vec<bf16>,
    k: Vec<bf16>,
    v: Vec<bf16>,
}

impl Prompt {
    fn new(seed: u64, heads: Heads, len: usize) -> Self {
        let mut random = Random(seed);
        let kv = len * heads.num_kv_heads * heads.head_len;
        Self {
            // Larger than after a norm, so that a few keys get most of the weight and the running maximum moves.
            q: random.normals(len * heads.num_heads * heads.head_len, 2.0),
            k: random.normals(kv, 1.0),
            v: random.normals(kv, 1.0),
        }
    }
}

/// The tokens `start..end` of a prompt, of which those before are in the cache.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    prompt: &'a Prompt,
    start: usize,
    end: usize,
}

fn numbers(bits: &[u16]) -> Vec<bf16> {
    bits.iter().copied().map(bf16::from_bits).collect()
}

/// What the kernel makes of the chunks in one launch. All memory that they may not read is NaN; what they may not write is checked.
fn run(device: &Device, version: Version, heads: Heads, chunks: &[Chunk<'_>]) -> Vec<Vec<bf16>> {
    let Heads {
        num_heads,
        num_kv_heads,
        head_len,
    } = heads;
    let (q_row, kv_row) = (num_heads * head_len, num_kv_heads * head_len);
    let q_stride = q_row + 2 * kv_row;
    let mut random = Random(5);
    let num_pages: usize = chunks
        .iter()
        .map(|chunk| chunk.end.div_ceil(PAGE_LEN))
        .sum::<usize>()
        + 3;
    let mut free: Vec<usize> = (0..num_pages).collect();
    for i in (1..num_pages).rev() {
        free.swap(i, random.next() as usize % (i + 1));
    }
    let nan = bf16::from_bits(0xffff);
    let mut cache = vec![nan; num_pages * 2 * PAGE_LEN * kv_row];
    let (mut q, mut q_start, mut page_start, mut pages) = (vec![], vec![], vec![], vec![]);
    for chunk in chunks {
        q.resize(q.len() + q_stride, nan); // a row that is nobody's
        q_start.push((q.len() / q_stride) as i32);
        for token in chunk.start..chunk.end {
            q.extend_from_slice(&chunk.prompt.q[token * q_row..][..q_row]);
            q.resize(q.len() + 2 * kv_row, nan);
        }
        page_start.push(pages.len() as i32);
        for _ in 0..chunk.end.div_ceil(PAGE_LEN) {
            pages.push(free.pop().expect("there are three more") as i32);
        }
        let own = &pages[page_start[page_start.len() - 1] as usize..];
        for token in 0..chunk.end {
            for (half, rows) in [&chunk.prompt.k, &chunk.prompt.v].into_iter().enumerate() {
                for head in 0..num_kv_heads {
                    let page = own[token / PAGE_LEN] as usize;
                    let row =
                        ((page * 2 + half) * num_kv_heads + head) * PAGE_LEN + token % PAGE_LEN;
                    cache[row * head_len..][..head_len]
                        .copy_from_slice(&rows[token * kv_row + head * head_len..][..head_len]);
                }
            }
        }
    }
    let q_len: Vec<i32> = chunks.iter().map(|c| (c.end - c.start) as i32).collect();
    let kv_len: Vec<i32> = chunks.iter().map(|c| c.end as i32).collect();
    let work = tiles(&q_len, &kv_len, num_heads / num_kv_heads);
    let num_rows = q.len() / q_stride;
    let work = device.upload("tiles", work.as_flattened()).unwrap();
    let q = device.upload("q", &q).unwrap();
    let cache = device.upload("cache", &cache).unwrap();
    let q_start_there = device.upload("starts", &q_start).unwrap();
    let q_len_there = device.upload("lengths", &q_len).unwrap();
    let kv_len = device.upload("lengths", &kv_len).unwrap();
    let page_start = device.upload("starts", &page_start).unwrap();
    let pages = device.upload("pages", &pages).unwrap();
    let out = device.zeros::<u16>("out", num_rows * q_row).unwrap();
    device.fill(out.view(), 0xff).unwrap();
    let sequences = Sequences {
        tiles: work.view(),
        q_start: q_start_there.view(),
        q_len: q_len_there.view(),
        kv_len: kv_len.view(),
        page_start: page_start.view(),
        pages: pages.view(),
    };
    let q = (q.view(), q_stride);
    let out_there = out.view().cast::<bf16>();
    prefill_attention_by(
        version,
        device,
        heads,
        q,
        cache.view(),
        &sequences,
        out_there,
    )
    .unwrap();
    let out = numbers(&device.read(out.view()).unwrap());
    q_start
        .iter()
        .zip(&q_len)
        .map(|(&start, &len)| {
            let between = &out[(start - 1) as usize * q_row..][..q_row];
            assert!(
                between.iter().all(|x| x.to_bits() == 0xffff),
                "a row that belongs to no sequence was written"
            );
            out[start as usize * q_row..][..len as usize * q_row].to_vec()
        })
        .collect()
}

/// The definition, in float64.
fn reference(heads: Heads, chunk: Chunk<'_>) -> Vec<f64> {
    let Heads {
        num_heads,
        num_kv_heads,
        head_len,
    } = heads;
    let wide = |rows: &[bf16]| rows.iter().map(|x| x.to_f64()).collect::<Vec<f64>>();
    let Prompt { q, k, v } = chunk.prompt;
    let (q, k, v) = (wide(q), wide(k), wide(v));
    let row = |token: usize, out: &mut [f64]| {
        for head in 0..num_heads {
            let kv_head = head / (num_heads / num_kv_heads);
            let at = |key: usize| (key * num_kv_heads + kv_head) * head_len;
            let q = &q[(token * num_heads + head) * head_len..][..head_len];
            let scores: Vec<f64> = (0..=token)
                .map(|key| {
                    let dot: f64 = q.iter().zip(&k[at(key)..]).map(|(q, k)| q * k).sum();
                    dot / (head_len as f64).sqrt()
                })
                .collect();
            let most = scores.iter().copied().fold(f64::MIN, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
            let sum: f64 = weights.iter().sum();
            let out = &mut out[head * head_len..][..head_len];
            for (key, weight) in weights.iter().enumerate() {
                for (out, v) in out.iter_mut().zip(&v[at(key)..]) {
                    *out += weight / sum * v;
                }
            }
        }
    };
    let mut out = vec![0.0; (chunk.end - chunk.start) * num_heads * head_len];
    // Threads take turns, since later rows are longer.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut shares: Vec<Vec<(usize, &mut [f64])>> = (0..threads).map(|_| vec![]).collect();
    for (index, out) in out.chunks_mut(num_heads * head_len).enumerate() {
        shares[index % threads].push((chunk.start + index, out));
    }
    std::thread::scope(|scope| {
        for share in shares {
            scope.spawn(|| share.into_iter().for_each(|(token, out)| row(token, out)));
        }
    });
    out
}

/// ||out - reference|| / ||reference||.
fn distance(out: &[bf16], reference: &[f64]) -> f64 {
    assert_eq!(out.len(), reference.len());
    let (mut wrong, mut all) = (0.0, 0.0);
    for (out, reference) in out.iter().zip(reference) {
        wrong += (out.to_f64() - reference).powi(2);
        all += reference.powi(2);
    }
    (wrong / all).sqrt()
}

/// The kernels that this card has for these heads.
fn versions(device: &Device, heads: Heads) -> Vec<Version> {
    let mut versions = vec![Version::Mma, Version::of(device, heads)];
    versions.dedup();
    versions
}

fn heads(num_kv_heads: usize, group: usize, head_len: usize) -> Heads {
    Heads {
        num_heads: num_kv_heads * group,
        num_kv_heads,
        head_len,
    }
}

fn bits(rows: &[bf16]) -> Vec<u16> {
    rows.iter().map(|x| x.to_bits()).collect()
}

#[test]
#[ignore = "needs a GPU"]
fn every_row_is_the_average_of_its_own_past() {
    let device = Device::open().unwrap();
    let lens = [
        (1, 1),
        (1, 1328),
        (5, 18),
        (17, 17),
        (64, 64),
        (129, 463),
        (300, 300),
        (512, 2560),
        (33, 289),
    ];
    for heads in [
        heads(2, 1, 64),
        heads(1, 3, 64),
        heads(2, 4, 64),
        heads(1, 8, 64),
        heads(2, 1, 128),
        heads(1, 3, 128),
        heads(2, 4, 128),
        heads(1, 8, 128),
    ] {
        let prompts: Vec<Prompt> = lens
            .iter()
            .enumerate()
            .map(|(seed, &(_, len))| Prompt::new(seed as u64, heads, len))
            .collect();
        let chunks: Vec<Chunk<'_>> = prompts
            .iter()
            .zip(lens)
            .map(|(prompt, (len, end))| Chunk {
                prompt,
                start: end - len,
                end,
            })
            .collect();
        let references: Vec<Vec<f64>> = chunks.iter().map(|&c| reference(heads, c)).collect();
        for version in versions(&device, heads) {
            let outs = run(&device, version, heads, &chunks);
            let mut distances = Vec::new();
            for (out, reference) in outs.iter().zip(&references) {
                distances.push(distance(out, reference));
            }
            println!("{version:?} {heads:?}: {distances:.5?}");
            for (distance, len) in distances.into_iter().zip(lens) {
                // bf16 has 8 bits: rounding the weights and the result costs 1e-3 each. NaN fails too.
                assert!(distance < 5e-3, "{version:?} {heads:?} {len:?}: {distance}");
            }
        }
    }
}

#[test]
#[ignore = "needs a GPU"]
fn a_row_is_the_same_however_its_prompt_is_cut_and_whoever_is_beside_it() {
    let device = Device::open().unwrap();
    for heads in [
        heads(2, 4, 64),
        heads(2, 4, 128),
        heads(1, 3, 128),
        heads(2, 1, 128),
    ] {
        let len = 700;
        let prompt = Prompt::new(1, heads, len);
        let others = [Prompt::new(2, heads, 1000), Prompt::new(3, heads, 90)];
        let chunk = |start, end| Chunk {
            prompt: &prompt,
            start,
            end,
        };
        for version in versions(&device, heads) {
            let whole = bits(&run(&device, version, heads, &[chunk(0, len)])[0]);
            for chunk_len in [256, 100, 37] {
                let mut pieces = Vec::new();
                for start in (0..len).step_by(chunk_len) {
                    let piece = chunk(start, len.min(start + chunk_len));
                    pieces.extend(bits(&run(&device, version, heads, &[piece])[0]));
                }
                assert!(
                    pieces == whole,
                    "{version:?} {heads:?}, chunks of {chunk_len}"
                );
            }
            let beside = |prompt, start, end| Chunk { prompt, start, end };
            let crowd = [
                beside(&others[0], 0, 1000),
                chunk(0, len),
                beside(&others[1], 50, 90),
                chunk(256, len),
            ];
            let outs = run(&device, version, heads, &crowd);
            assert!(bits(&outs[1]) == whole, "{version:?} {heads:?} in a crowd");
            let row = heads.num_heads * heads.head_len;
            assert!(
                bits(&outs[3]) == whole[256 * row..],
                "{version:?} {heads:?} in a crowd"
            );
        }
    }
}

#[test]
#[ignore = "needs a GPU"]
fn more_work_than_fits_at_a_time_is_done_right_and_the_same_each_time() {
    let device = Device::open().unwrap();
    for heads in [heads(8, 4, 128), heads(8, 2, 64)] {
        let mut random = Random(9);
        let prompts: Vec<Prompt> = (0..40)
            .map(|seed| Prompt::new(seed, heads, 1 + random.next() as usize % 400))
            .collect();
        let chunks: Vec<Chunk<'_>> = prompts
            .iter()
            .map(|prompt| {
                let end = prompt.k.len() / (heads.num_kv_heads * heads.head_len);
                let start = [0, random.next() as usize % end][random.next() as usize % 2];
                Chunk { prompt, start, end }
            })
            .collect();
        let references: Vec<Vec<f64>> = chunks.iter().map(|&c| reference(heads, c)).collect();
        for version in versions(&device, heads) {
            let outs = run(&device, version, heads, &chunks);
            for (out, reference) in outs.iter().zip(&references) {
                let distance = distance(out, reference);
                assert!(distance < 5e-3, "{version:?} {heads:?}: {distance}");
            }
            for _ in 0..3 {
                let again = run(&device, version, heads, &chunks);
                for (out, again) in outs.iter().zip(&again) {
                    assert!(bits(out) == bits(again), "{version:?} {heads:?} again");
                }
            }
        }
    }
}

#[test]
fn tiles_cover_all_rows_once() {
    let mut tiles = tiles(&[1, 0, 70, 43], &[900, 5, 70, 1000], 3);
    tiles.sort_unstable();
    assert_eq!(tiles, [[0, 0], [2, 0], [2, 1], [3, 0], [3, 1]]);
}

#[test]
fn the_longest_tiles_come_first_and_neighbours_stay_together() {
    // 20 tiles, one, and 3.
    let tiles = tiles(&[640, 10, 96], &[640, 400, 96], 4);
    let runs: Vec<(i32, usize)> = tiles
        .chunk_by(|a, b| a[0] == b[0])
        .map(|run| (run[0][0], run.len()))
        .collect();
    assert_eq!(runs, [(0, 16), (1, 1), (0, 4), (2, 3)]);
    assert!(tiles[..16].is_sorted_by(|a, b| a[1] > b[1]));
}
