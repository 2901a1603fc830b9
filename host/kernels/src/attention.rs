//! Causal attention over the paged cache, with groups of query heads sharing a key-value head.
//!
//! Scores of a query with all its positions are computed first, then their softmax, then the weighted values: two readings of
//! the cache, each in order of position, so that a query's bits do not depend on how its prompt was cut into steps.

use std::cell::RefCell;

use crate::cpu::Cpu;
use crate::heads::HeadColumns;
use crate::isa::for_each_isa;
use crate::kv_cache::{BLOCK_LEN, KvCache};
use crate::lanes::{LANES, Lanes, exp, sum};
use crate::panel::accumulate;
use crate::shared_out::SharedOut;

/// Queries that share one reading of the cache from memory.
const QUERIES_PER_ITEM: usize = 24;

/// Tokens of one sequence that a step computes; their keys and values are in the cache already.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// The row of its first token among the step's rows; the others follow.
    pub first_row: usize,
    /// How many tokens.
    pub len: usize,
    /// The position of the first in its sequence. Each token sees the positions up to its own.
    pub start: usize,
    /// The sequence's blocks in order, at least `(start + len).div_ceil(16)`.
    pub blocks: &'a [u32],
}

/// Writes the attention of the rows of `x` that `spans` name to the rows of `out` (`heads.num_heads * heads.head_len` long).
///
/// `heads` says where in a row of `x` the queries are; a whole number of them shares a head of the cache. Scores are divided
/// by the square root of the head's length. Panics if the shapes do not fit or a block is not in the cache.
pub fn attention(
    cpu: &Cpu,
    cache: &KvCache,
    spans: &[Span<'_>],
    heads: HeadColumns,
    x: &[f32],
    out: &mut [f32],
) {
    let (head_len, kv_heads) = (cache.head_len(), cache.num_heads());
    let out_row_len = heads.num_heads * head_len;
    assert!(
        heads.head_len == head_len && heads.num_heads.is_multiple_of(kv_heads),
        "the queries fit the cache"
    );
    assert_eq!(
        x.len() / heads.row_len,
        out.len() / out_row_len,
        "x and out have as many rows"
    );
    let mut next_row = 0;
    for span in spans {
        assert!(
            span.first_row >= next_row,
            "spans are in order and do not overlap"
        );
        assert!(
            span.blocks.len() * BLOCK_LEN >= span.start + span.len,
            "a span has blocks for its tokens"
        );
        next_row = span.first_row + span.len;
    }

    let group = heads.num_heads / kv_heads;
    let tokens_per_item = (QUERIES_PER_ITEM / group).max(1);
    let items: Vec<Span<'_>> = spans
        .iter()
        .flat_map(|span| split(span, tokens_per_item))
        .collect();
    let out = SharedOut::new(out);
    cpu.team().for_each(items.len() * kv_heads, |index| {
        // Items with the longest past come last in a prompt; they go first so that no thread is left with one at the end.
        let (item, kv_head) = (&items[items.len() - 1 - index / kv_heads], index % kv_heads);
        let queries: Vec<Query<'_>> = (0..item.len * group)
            .map(|query| {
                let (token, head) = (query / group, kv_head * group + query % group);
                let row = item.first_row + token;
                #[allow(unsafe_code, reason = "heads are handed to threads by index")]
                // SAFETY: spans do not overlap (asserted), each index is handed out once, and each query head belongs to one
                // key-value head; so this head of this row is in no other item.
                let out = unsafe { out.part(row * out_row_len + head * head_len, head_len) };
                let x = &x[row * heads.row_len + heads.first + head * head_len..][..head_len];
                Query {
                    x,
                    num_visible: item.start + token + 1,
                    out,
                }
            })
            .collect();
        attend(cpu, cache, kv_head, item.blocks, queries);
    });
}

/// A span cut into spans of at most `len` tokens.
fn split<'a>(span: &Span<'a>, len: usize) -> impl Iterator<Item = Span<'a>> {
    let span = *span;
    (0..span.len).step_by(len).map(move |offset| Span {
        first_row: span.first_row + offset,
        len: len.min(span.len - offset),
        start: span.start + offset,
        blocks: span.blocks,
    })
}

/// One query head of one token.
struct Query<'a> {
    x: &'a [f32],
    /// Positions it sees, from the sequence's first.
    num_visible: usize,
    out: &'a mut [f32],
}

fn attend(cpu: &Cpu, cache: &KvCache, head: usize, blocks: &[u32], mut queries: Vec<Query<'_>>) {
    thread_local! {
        static SCORES: RefCell<Vec<Lanes>> = const { RefCell::new(Vec::new()) };
    }
    SCORES.with_borrow_mut(|scores| {
        for queries in queries.chunks_mut(cpu.isa().max_rows()) {
            macro_rules! by_count {
                ($($count:literal)*) => {
                    match queries.len() {
                        $($count => {
                            let queries = queries.first_chunk_mut::<$count>().expect("matched on the length");
                            attend_group(cpu.isa(), cache, head, blocks, queries, scores);
                        })*
                        count => unreachable!("a group has no {count} queries"),
                    }
                };
            }
            by_count!(1 2 3 4 5 6 7 8);
        }
    });
}

for_each_isa! {
    fn attend_group<const Q: usize>(
        cache: &KvCache,
        head: usize,
        blocks: &[u32],
        queries: &mut [Query<'_>; Q],
        scores: &mut Vec<Lanes>,
    ) = attend_group_generic
}

#[inline(always)]
fn attend_group_generic<const Q: usize>(
    cache: &KvCache,
    head: usize,
    blocks: &[u32],
    queries: &mut [Query<'_>; Q],
    scores: &mut Vec<Lanes>,
) {
    let num_visible = queries
        .iter()
        .map(|query| query.num_visible)
        .max()
        .unwrap_or(0);
    let blocks = &blocks[..num_visible.div_ceil(BLOCK_LEN)];
    // Only grows, and every element in use is written before it is read.
    scores.resize(scores.len().max(Q * blocks.len()), [0.0; LANES]);
    let scores: &mut [Lanes] = &mut scores[..Q * blocks.len()];

    let scale = 1.0 / (cache.head_len() as f32).sqrt();
    let mut x: [&[f32]; Q] = [&[]; Q];
    for q in 0..Q {
        x[q] = queries[q].x;
    }
    for (index, block) in blocks.iter().enumerate() {
        let mut sums = [[0.0; LANES]; Q];
        accumulate(&mut sums, x, cache.keys(*block, head));
        for q in 0..Q {
            for lane in 0..LANES {
                scores[q * blocks.len() + index][lane] = sums[q][lane] * scale;
            }
        }
    }
    let mut totals = [0.0; Q];
    for (q, scores) in scores.chunks_exact_mut(blocks.len()).enumerate() {
        totals[q] = exponentials(scores, queries[q].num_visible);
    }
    let weights: [&[f32]; Q] =
        std::array::from_fn(|q| scores[q * blocks.len()..][..blocks.len()].as_flattened());
    for chunk in 0..cache.head_len().div_ceil(LANES) {
        let mut sums = [[0.0; LANES]; Q];
        for (index, block) in blocks.iter().enumerate() {
            // Slots beyond may hold another sequence's leavings, even NaN, so they are not touched at all.
            let slots = BLOCK_LEN.min(num_visible - index * BLOCK_LEN);
            let weights = weights.map(|weights| &weights[index * BLOCK_LEN..]);
            accumulate(
                &mut sums,
                weights,
                &cache.values(*block, head, chunk)[..slots],
            );
        }
        for q in 0..Q {
            let out = queries[q]
                .out
                .chunks_mut(LANES)
                .nth(chunk)
                .expect("out has a chunk for each of the head");
            for (out, sum) in out.iter_mut().zip(&sums[q]) {
                *out = sum / totals[q];
            }
        }
    }
}

/// Replaces the first `num_visible` scores by e^(score - greatest) and the others by 0; returns the sum.
#[inline(always)]
fn exponentials(scores: &mut [Lanes], num_visible: usize) -> f32 {
    scores.as_flattened_mut()[num_visible..].fill(f32::NEG_INFINITY);
    let mut greatest = [f32::NEG_INFINITY; LANES];
    for scores in &*scores {
        for lane in 0..LANES {
            greatest[lane] = if scores[lane] > greatest[lane] {
                scores[lane]
            } else {
                greatest[lane]
            };
        }
    }
    let greatest = greatest.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let mut total = [0.0; LANES];
    for scores in scores {
        for lane in 0..LANES {
            scores[lane] = exp(scores[lane] - greatest);
            total[lane] += scores[lane];
        }
    }
    sum(&total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    fn number(seed: usize) -> f32 {
        ((seed * 2_654_435_761) % 1009) as f32 / 252.0 - 2.0
    }

    /// Keys and values of a sequence of `len` tokens in the given blocks.
    fn fill(
        cache: &mut KvCache,
        blocks: &[u32],
        len: usize,
        seed: usize,
    ) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
        let width = cache.num_heads() * cache.head_len();
        let rows = |salt: usize| -> Vec<Vec<f32>> {
            (0..len)
                .map(|token| {
                    (0..width)
                        .map(|i| number(seed + salt + token * width + i))
                        .collect()
                })
                .collect()
        };
        let (keys, values) = (rows(0), rows(77_777));
        for token in 0..len {
            cache.write(
                blocks[token / BLOCK_LEN],
                token % BLOCK_LEN,
                &keys[token],
                &values[token],
            );
        }
        (keys, values)
    }

    /// One query head in float64.
    fn reference(query: &[f32], keys: &[&[f32]], values: &[&[f32]]) -> Vec<f64> {
        let scale = 1.0 / (query.len() as f64).sqrt();
        let dot = |key: &&[f32]| {
            query
                .iter()
                .zip(*key)
                .map(|(&a, &b)| f64::from(a) * f64::from(b))
                .sum::<f64>()
        };
        let scores: Vec<f64> = keys.iter().map(|key| dot(key) * scale).collect();
        let greatest = scores.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        let weights: Vec<f64> = scores
            .iter()
            .map(|score| (score - greatest).exp())
            .collect();
        let total: f64 = weights.iter().sum();
        (0..query.len())
            .map(|i| {
                values
                    .iter()
                    .zip(&weights)
                    .map(|(value, weight)| f64::from(value[i]) * weight)
                    .sum::<f64>()
                    / total
            })
            .collect()
    }

    #[test]
    fn every_query_equals_the_reference_and_its_bits_depend_on_nothing_else() {
        // Odd shapes: a head of 20 (no whole vectors), groups of 3, extra columns in a row, a last block that is not full.
        let (head_len, kv_heads, group, row_len) = (20, 2, 3, 6 * 20 + 5);
        let heads = HeadColumns {
            row_len,
            first: 3,
            num_heads: kv_heads * group,
            head_len,
        };
        let mut cache = KvCache::new(8, kv_heads, head_len);
        cache.write(0, 15, &[f32::NAN; 40], &[f32::NAN; 40]);
        let (long, short) = (
            fill(&mut cache, &[6, 1, 4], 41, 5),
            fill(&mut cache, &[0], 9, 1234),
        );
        let x: Vec<f32> = (0..50 * row_len).map(|i| number(i + 99)).collect();
        let blocks: [&[u32]; 2] = [&[6, 1, 4], &[0]];
        // Rows 0..41 are the long sequence's queries, 41..50 the short one's.
        let whole = [
            Span {
                first_row: 0,
                len: 41,
                start: 0,
                blocks: blocks[0],
            },
            Span {
                first_row: 41,
                len: 9,
                start: 0,
                blocks: blocks[1],
            },
        ];
        let out_row_len = heads.num_heads * head_len;
        let mut expected: Option<Vec<f32>> = None;
        for isa in Isa::supported() {
            let cpu = Cpu::with_isa(isa, 2);
            let mut out = vec![0.0; 50 * out_row_len];
            attention(&cpu, &cache, &whole, heads, &x, &mut out);
            assert_eq!(
                expected.get_or_insert_with(|| out.clone()),
                &out,
                "{} gives other bits",
                isa.name()
            );
            for chunk_len in [1, 5, 16] {
                for row in (0..41).step_by(chunk_len) {
                    let len = chunk_len.min(41 - row);
                    let span = Span {
                        first_row: 0,
                        len,
                        start: row,
                        blocks: blocks[0],
                    };
                    let mut part = vec![0.0; len * out_row_len];
                    attention(
                        &cpu,
                        &cache,
                        &[span],
                        heads,
                        &x[row * row_len..][..len * row_len],
                        &mut part,
                    );
                    assert_eq!(
                        part,
                        out[row * out_row_len..][..len * out_row_len],
                        "chunks of {chunk_len}"
                    );
                }
            }
        }
        let out = expected.expect("there is an instruction set");
        for row in 0..50 {
            let ((keys, values), visible) = if row < 41 {
                (&long, row + 1)
            } else {
                (&short, row - 40)
            };
            for head in 0..heads.num_heads {
                let columns = head / group * head_len..(head / group + 1) * head_len;
                let keys: Vec<&[f32]> = keys[..visible]
                    .iter()
                    .map(|key| &key[columns.clone()])
                    .collect();
                let values: Vec<&[f32]> = values[..visible]
                    .iter()
                    .map(|value| &value[columns.clone()])
                    .collect();
                let query = &x[row * row_len + heads.first + head * head_len..][..head_len];
                let found = &out[row * out_row_len + head * head_len..][..head_len];
                for (found, expected) in found.iter().zip(reference(query, &keys, &values)) {
                    // Scores up to 24 carry errors of 20 roundings, which the exponential passes on.
                    assert!(
                        (f64::from(*found) - expected).abs() <= 2e-5,
                        "row {row}, head {head}: {found} is not {expected}"
                    );
                }
            }
        }
    }
}
