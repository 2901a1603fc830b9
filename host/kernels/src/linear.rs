//! `y[m][n] = sum over k of x[m][k] * w[n][k] (+ bias[n])`, the op that a step spends its time in.
//!
//! A tile of sixteen weight rows is read once and used for up to eight rows of `x`, which is why a batch costs little more
//! than one row. Quantised weights meet activations rounded to 8 bits per 32 (as GGUF's other engines do); float weights
//! meet them as they are.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod float;
mod quantised;

use crate::activation::{ActivationBlock, BLOCK, with_quantised};
use crate::cpu::Cpu;
use crate::isa::Isa;
use crate::lanes::{LANES, Lanes};
use crate::matrix::{Matrix, Part, Tiles};
use crate::shared_out::SharedOut;

/// Rows of `x` that share one reading of a tile.
const MAX_ROWS: usize = 8;
/// Rows of `x` that pass by a group of tiles before the next rows come: both stay in the core's cache.
const ROWS_PER_PASS: usize = 64;
/// Shares of the work per thread, so that a thread that was held up leaves its shares to others.
const SHARES_PER_THREAD: usize = 4;

/// What becomes of the old contents of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// They are overwritten.
    Set,
    /// The result is added to them.
    Add,
}

/// Multiplies the rows of `x` (`w.cols()` long each) with `w` into the rows of `y` (`w.rows()` long each).
/// Panics if the shapes do not fit.
pub fn linear(cpu: &Cpu, w: &Matrix, bias: Option<&[f32]>, x: &[f32], y: &mut [f32], write: Write) {
    let num_rows = x.len() / w.cols();
    assert_eq!(
        x.len(),
        num_rows * w.cols(),
        "x is whole rows of w's inputs"
    );
    assert_eq!(
        y.len(),
        num_rows * w.rows(),
        "y has a row of w's outputs for each row of x"
    );
    assert!(
        bias.is_none_or(|bias| bias.len() == w.rows()),
        "the bias has one number for each of w's outputs"
    );
    let is_quantised = |part: &Part| matches!(part.tiles, Tiles::U4(_) | Tiles::U8(_));
    let mut run = |blocks: &[ActivationBlock]| {
        let cols = w.cols();
        multiply_all(
            cpu,
            w,
            bias,
            &Input {
                floats: x,
                blocks,
                cols,
            },
            y,
            write,
        );
    };
    if w.parts().iter().any(is_quantised) {
        with_quantised(cpu, x, w.cols(), run);
    } else {
        run(&[]);
    }
}

fn multiply_all(
    cpu: &Cpu,
    w: &Matrix,
    bias: Option<&[f32]>,
    input: &Input<'_>,
    y: &mut [f32],
    write: Write,
) {
    let num_rows = y.len() / w.rows();
    let tiles = tiles_of(w);
    let num_shares = (cpu.team().num_threads() * SHARES_PER_THREAD).min(tiles.len());
    let out = SharedOut::new(y);
    cpu.team().for_each(num_shares, |share| {
        let of_share = |share: usize| share * tiles.len() / num_shares;
        let tiles = &tiles[of_share(share)..of_share(share + 1)];
        let mut sums = [[0.0; LANES]; MAX_ROWS];
        for first in (0..num_rows).step_by(ROWS_PER_PASS) {
            let end = num_rows.min(first + ROWS_PER_PASS);
            for tile in tiles {
                for row in (first..end).step_by(MAX_ROWS) {
                    let count = MAX_ROWS.min(end - row);
                    input.multiply(cpu.isa(), tile, row, &mut sums[..count]);
                    for (index, sums) in sums[..count].iter().enumerate() {
                        #[allow(unsafe_code, reason = "columns are handed to threads by tile")]
                        // SAFETY: each tile is in one share, each share is handed out once, and tiles have their own columns.
                        let y =
                            unsafe { out.part((row + index) * w.rows() + tile.column, tile.rows) };
                        let bias = bias.map(|bias| &bias[tile.column..][..tile.rows]);
                        store(y, &sums[..tile.rows], bias, write);
                    }
                }
            }
        }
    });
}

fn store(y: &mut [f32], sums: &[f32], bias: Option<&[f32]>, write: Write) {
    for (index, (y, sum)) in y.iter_mut().zip(sums).enumerate() {
        let value = sum + bias.map_or(0.0, |bias| bias[index]);
        match write {
            Write::Set => *y = value,
            Write::Add => *y += value,
        }
    }
}

/// Sixteen rows of the matrix, fewer at the end of a part.
struct Tile<'a> {
    tiles: &'a Tiles,
    /// Which of them.
    index: usize,
    /// The first output.
    column: usize,
    rows: usize,
}

fn tiles_of(w: &Matrix) -> Vec<Tile<'_>> {
    let mut tiles = Vec::with_capacity(w.rows().div_ceil(LANES) + w.parts().len());
    let mut column = 0;
    for part in w.parts() {
        for first in (0..part.rows).step_by(LANES) {
            let rows = LANES.min(part.rows - first);
            tiles.push(Tile {
                tiles: &part.tiles,
                index: first / LANES,
                column: column + first,
                rows,
            });
        }
        column += part.rows;
    }
    tiles
}

/// The rows of `x`, as floats and, if some weights are quantised, in blocks.
struct Input<'a> {
    floats: &'a [f32],
    blocks: &'a [ActivationBlock],
    cols: usize,
}

impl Input<'_> {
    /// Writes the products of one tile with the rows from `first_row` on, one for each element of `out` (at most `MAX_ROWS`).
    fn multiply(&self, isa: Isa, tile: &Tile<'_>, first_row: usize, out: &mut [Lanes]) {
        let num_blocks = self.cols.div_ceil(BLOCK);
        match tile.tiles {
            Tiles::U4(tiles) => {
                let x = &self.blocks[first_row * num_blocks..][..out.len() * num_blocks];
                quantised::multiply_u4(
                    isa,
                    &tiles[tile.index * num_blocks..][..num_blocks],
                    x,
                    out,
                );
            }
            Tiles::U8(tiles) => {
                let x = &self.blocks[first_row * num_blocks..][..out.len() * num_blocks];
                quantised::multiply_u8(
                    isa,
                    &tiles[tile.index * num_blocks..][..num_blocks],
                    x,
                    out,
                );
            }
            Tiles::Bf16(tiles) => {
                let x = &self.floats[first_row * self.cols..][..out.len() * self.cols];
                float::multiply_bf16(
                    isa,
                    &tiles[tile.index * self.cols..][..self.cols],
                    x,
                    out,
                    isa.max_rows(),
                );
            }
            Tiles::F32(tiles) => {
                let x = &self.floats[first_row * self.cols..][..out.len() * self.cols];
                float::multiply_f32(
                    isa,
                    &tiles[tile.index * self.cols..][..self.cols],
                    x,
                    out,
                    isa.max_rows(),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(seed: usize) -> f32 {
        ((seed * 2_654_435_761) % 1009) as f32 / 252.0 - 2.0
    }

    /// A matrix of each kind, and a mixed one, with `rows` outputs and `cols` inputs.
    fn matrices(rows: usize, cols: usize) -> Vec<(&'static str, Matrix)> {
        let floats: Vec<f32> = (0..rows * cols).map(number).collect();
        let bytes: Vec<u8> = floats.iter().flat_map(|w| w.to_le_bytes()).collect();
        let bf16: Vec<u8> = floats
            .iter()
            .flat_map(|&w| half::bf16::from_f32(w).to_le_bytes())
            .collect();
        let q4: Vec<u8> = (0..rows * cols.div_ceil(BLOCK))
            .flat_map(|block| {
                let scale = half::f16::from_f32(number(block) / 8.0).to_le_bytes();
                let offset = half::f16::from_f32(number(block + 7)).to_le_bytes();
                let codes = (0..16).map(move |k| (block * 31 + k * 7) as u8);
                scale.into_iter().chain(offset).chain(codes)
            })
            .collect();
        let u4 = Matrix::from_q4_1(&q4, rows, cols).unwrap();
        let u8 = Matrix::round_to_q8(&floats, rows, cols).unwrap();
        let float = Matrix::from_f32(&bytes, rows, cols).unwrap();
        let mixed = Matrix::stack(vec![u8.clone(), float.clone(), u4.clone()]);
        let bf16 = Matrix::from_bf16(&bf16, rows, cols).unwrap();
        vec![
            ("u4", u4),
            ("u8", u8),
            ("f32", float),
            ("bf16", bf16),
            ("mixed", mixed),
        ]
    }

    /// In float64 from the widened weights. Quantised inputs are given as their rounded values.
    fn reference(w: &Matrix, bias: &[f32], x: &[f32]) -> Vec<f64> {
        let mut weights = vec![0.0; w.cols()];
        let mut y = vec![0.0; x.len() / w.cols() * w.rows()];
        for row in 0..w.rows() {
            w.row(row, &mut weights);
            for (index, x) in x.chunks_exact(w.cols()).enumerate() {
                let dot: f64 = weights
                    .iter()
                    .zip(x)
                    .map(|(&w, &x)| f64::from(w) * f64::from(x))
                    .sum();
                y[index * w.rows() + row] = dot + f64::from(bias[row]);
            }
        }
        y
    }

    #[test]
    fn every_format_equals_the_reference_for_odd_shapes() {
        for (rows, cols) in [(1, 1), (16, 32), (19, 45), (70, 96), (33, 31)] {
            for (name, w) in matrices(rows, cols) {
                let bias: Vec<f32> = (0..w.rows()).map(|i| number(i + 3)).collect();
                // Whole numbers whose greatest is 127 in each block of 32, so that rounding to 8 bits changes nothing and the
                // tolerance need only cover float sums.
                let x: Vec<f32> = (0..11 * cols)
                    .map(|i| {
                        if i % cols % BLOCK == 0 {
                            127.0
                        } else {
                            (number(i) * 60.0).round()
                        }
                    })
                    .collect();
                let mut y = vec![1.0; 11 * w.rows()];
                linear(&Cpu::new(2), &w, Some(&bias), &x, &mut y, Write::Add);
                for (found, expected) in y.iter().zip(reference(&w, &bias, &x)) {
                    // 96 terms of at most 254, one rounding each.
                    assert!(
                        (f64::from(*found) - 1.0 - expected).abs() <= 0.01,
                        "{name} {rows}x{cols}: {found}, {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn bits_are_the_same_on_every_isa_and_for_any_rows_beside() {
        let (rows, cols) = (37, 77);
        for (name, w) in matrices(rows, cols) {
            let x: Vec<f32> = (0..83 * cols).map(|i| number(i + 1)).collect();
            let mut expected = vec![0.0; 83 * w.rows()];
            linear(
                &Cpu::with_isa(Isa::supported().pop().unwrap(), 1),
                &w,
                None,
                &x,
                &mut expected,
                Write::Set,
            );
            for isa in Isa::supported() {
                let cpu = Cpu::with_isa(isa, 3);
                for count in [1, 2, 3, 4, 5, 6, 7, 8, 83] {
                    let first = 83 - count;
                    let mut y = vec![0.0; count * w.rows()];
                    linear(&cpu, &w, None, &x[first * cols..], &mut y, Write::Set);
                    assert_eq!(
                        y,
                        expected[first * w.rows()..],
                        "{name}, {}, {count} rows",
                        isa.name()
                    );
                }
            }
        }
    }
}
