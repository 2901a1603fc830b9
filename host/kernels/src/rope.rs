//! Rotary position embedding: pairs of numbers in a head are turned by an angle that grows with the position.

use crate::cpu::Cpu;
use crate::heads::HeadColumns;

/// Which numbers of a head are a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// `i` and `i + rotated / 2`, as in checkpoints of the transformers library.
    Halves,
    /// `2 * i` and `2 * i + 1`, as in GGUF files of the llama architecture.
    Neighbours,
}

/// Cosines and sines of the angles of some positions.
pub struct RopeTable {
    num_pairs: usize,
    /// A row of `num_pairs` (cosine, sine) for each position asked for.
    turns: Vec<(f32, f32)>,
}

impl RopeTable {
    /// The table for `positions` in order; `frequencies` has the angle in radians per position of each pair.
    pub fn new(frequencies: &[f32], positions: impl IntoIterator<Item = usize>) -> Self {
        let mut turns = Vec::new();
        for position in positions {
            for &frequency in frequencies {
                // The angle is rounded to a float because the reference rounds it: at position 10^5 that is 0.004 radians.
                let (sin, cos) = f64::from(position as f32 * frequency).sin_cos();
                turns.push((cos as f32, sin as f32));
            }
        }
        Self {
            num_pairs: frequencies.len(),
            turns,
        }
    }
}

/// Turns each of the `heads` in the rows of `x`; row `i` is at the table's position `i`. Numbers of a head beyond the table's
/// pairs stay. Panics if the shapes do not fit.
pub fn rope(cpu: &Cpu, table: &RopeTable, pairing: Pairing, x: &mut [f32], heads: HeadColumns) {
    let num_pairs = table.num_pairs;
    assert!(
        2 * num_pairs <= heads.head_len,
        "the pairs are inside a head"
    );
    assert_eq!(
        x.len() * num_pairs,
        table.turns.len() * heads.row_len,
        "x has a row for each position of the table"
    );
    cpu.for_each_row(x, heads.row_len, |row, x| {
        let turns = &table.turns[row * num_pairs..][..num_pairs];
        for head in heads.of(x) {
            match pairing {
                Pairing::Halves => {
                    let (low, high) = head[..2 * num_pairs].split_at_mut(num_pairs);
                    for ((a, b), turn) in low.iter_mut().zip(high).zip(turns) {
                        turn_pair(a, b, *turn);
                    }
                }
                Pairing::Neighbours => {
                    for (pair, turn) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                        let [a, b] = pair;
                        turn_pair(a, b, *turn);
                    }
                }
            }
        }
    });
}

#[inline(always)]
fn turn_pair(a: &mut f32, b: &mut f32, (cos, sin): (f32, f32)) {
    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_turned_by_position_times_frequency() {
        let (row_len, first, num_heads, head_len) = (17, 2, 2, 7);
        let frequencies = [1.0, 0.25, 0.01];
        let positions = [0, 3, 1000];
        let before: Vec<f32> = (0..3 * row_len).map(|i| i as f32 / 8.0 - 3.0).collect();
        for pairing in [Pairing::Halves, Pairing::Neighbours] {
            let mut x = before.clone();
            let table = RopeTable::new(&frequencies, positions);
            let heads = HeadColumns {
                row_len,
                first,
                num_heads,
                head_len,
            };
            rope(&Cpu::new(2), &table, pairing, &mut x, heads);
            let mut expected: Vec<f64> = before.iter().map(|&x| f64::from(x)).collect();
            for (row, position) in positions.iter().enumerate() {
                for head in 0..num_heads {
                    for (i, frequency) in frequencies.iter().enumerate() {
                        let at = row * row_len + first + head * head_len;
                        let (a, b) = match pairing {
                            Pairing::Halves => (at + i, at + i + 3),
                            Pairing::Neighbours => (at + 2 * i, at + 2 * i + 1),
                        };
                        let angle = f64::from(*frequency) * *position as f64;
                        let (x, y) = (f64::from(before[a]), f64::from(before[b]));
                        expected[a] = x * angle.cos() - y * angle.sin();
                        expected[b] = x * angle.sin() + y * angle.cos();
                    }
                }
            }
            for (found, expected) in x.iter().zip(expected) {
                // Angles up to 1000 are rounded to 2^-15.
                assert!(
                    (f64::from(*found) - expected).abs() <= 2e-4,
                    "{pairing:?}: {found} is not {expected}"
                );
            }
        }
    }
}
