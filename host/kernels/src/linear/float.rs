//! Tiles of float weights.

use crate::isa::for_each_isa;
use crate::lanes::{LANES, Lanes};
use crate::panel::{Bf16, Stored, accumulate};

for_each_isa! {
    pub(super) fn multiply_f32(tile: &[[f32; LANES]], x: &[f32], out: &mut [Lanes], max_rows: usize) = multiply
}
for_each_isa! {
    pub(super) fn multiply_bf16(tile: &[[Bf16; LANES]], x: &[f32], out: &mut [Lanes], max_rows: usize) = multiply
}

/// `x` holds a row of `tile.len()` numbers for each element of `out`; registers hold the sums of `max_rows`.
#[inline(always)]
fn multiply<T: Stored>(tile: &[[T; LANES]], x: &[f32], out: &mut [Lanes], max_rows: usize) {
    let mut row = 0;
    // Whole registers' worth first; the leftover rows in ever smaller groups. Each row's sum is the same in any group.
    while row < out.len() {
        row += match max_rows.min(out.len() - row) {
            8.. => multiply_rows::<8, T>(tile, x, out, row),
            4..8 => multiply_rows::<4, T>(tile, x, out, row),
            2..4 => multiply_rows::<2, T>(tile, x, out, row),
            _ => multiply_rows::<1, T>(tile, x, out, row),
        };
    }
}

#[inline(always)]
fn multiply_rows<const Q: usize, T: Stored>(
    tile: &[[T; LANES]],
    x: &[f32],
    out: &mut [Lanes],
    first: usize,
) -> usize {
    let mut sums = [[0.0; LANES]; Q];
    let mut rows = [&x[..0]; Q];
    for q in 0..Q {
        rows[q] = &x[(first + q) * tile.len()..][..tile.len()];
    }
    accumulate(&mut sums, rows, tile);
    out[first..first + Q].copy_from_slice(&sums);
    Q
}
