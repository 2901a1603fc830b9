//! Tiles of quantised weights: the choice of a version, and the plain one, which the others must equal bit for bit.

use crate::activation::ActivationBlock;
use crate::half_float::f16_to_f32;
use crate::isa::{Isa, Kind};
use crate::lanes::{LANES, Lanes};
#[cfg(target_arch = "x86_64")]
use crate::linear::{avx2, avx512};
use crate::matrix::{U4Block, U8Block};

/// Calls the version of `$multiply` for each number of rows that `$out` may have.
#[cfg(target_arch = "x86_64")]
macro_rules! by_rows {
    ($multiply:path, $tile:expr, $x:expr, $out:expr, [$($count:literal)*]) => {
        match $out.len() {
            $($count => {
                let out = $out.first_chunk_mut::<$count>().expect("matched on the length");
                #[allow(unsafe_code, reason = "target-feature functions may be called only on machines that have the features")]
                // SAFETY: only used where an `Isa` of the function's kind exists, so its features were detected.
                unsafe { $multiply(&$tile, &$x, out) }
            })*
            count => unreachable!("a group has no {count} rows"),
        }
    };
}

/// `x` holds a row of `tile.len()` blocks for each element of `out`, of which there are at most 8.
pub(super) fn multiply_u4(isa: Isa, tile: &[U4Block], x: &[ActivationBlock], out: &mut [Lanes]) {
    match isa.kind() {
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => by_rows!(avx512::multiply_u4, tile, x, out, [1 2 3 4 5 6 7 8]),
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => {
            for (x, out) in x.chunks(4 * tile.len()).zip(out.chunks_mut(4)) {
                by_rows!(avx2::multiply_u4, tile, x, out, [1 2 3 4]);
            }
        }
        Kind::Plain => plain_u4(tile, x, out),
    }
}

/// `x` holds a row of `tile.len()` blocks for each element of `out`, of which there are at most 8.
pub(super) fn multiply_u8(isa: Isa, tile: &[U8Block], x: &[ActivationBlock], out: &mut [Lanes]) {
    match isa.kind() {
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => by_rows!(avx512::multiply_u8, tile, x, out, [1 2 3 4 5 6 7 8]),
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => {
            for (x, out) in x.chunks(4 * tile.len()).zip(out.chunks_mut(4)) {
                by_rows!(avx2::multiply_u8, tile, x, out, [1 2 3 4]);
            }
        }
        Kind::Plain => plain_u8(tile, x, out),
    }
}

/// The first `R` rows of `row_len` blocks.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn split_rows<const R: usize>(
    x: &[ActivationBlock],
    row_len: usize,
) -> [&[ActivationBlock]; R] {
    let mut rows: [&[ActivationBlock]; R] = [&[]; R];
    for row in 0..R {
        rows[row] = &x[row * row_len..][..row_len];
    }
    rows
}

fn plain_u4(tile: &[U4Block], x: &[ActivationBlock], out: &mut [Lanes]) {
    for (x, sums) in x.chunks_exact(tile.len()).zip(out) {
        *sums = [0.0; LANES];
        for (weights, x) in tile.iter().zip(x) {
            let mut dots = [0i32; LANES];
            for group in 0..4 {
                for lane in 0..LANES {
                    for i in 0..4 {
                        let code = weights.codes[group * 64 + lane * 4 + i];
                        dots[lane] += i32::from(code & 15) * i32::from(x.codes[group][i]);
                        dots[lane] += i32::from(code >> 4) * i32::from(x.codes[group + 4][i]);
                    }
                }
            }
            for lane in 0..LANES {
                let dot = dots[lane] as f32 * x.scale;
                let scaled = f16_to_f32(weights.scales[lane]).mul_add(dot, sums[lane]);
                sums[lane] = f16_to_f32(weights.offsets[lane]).mul_add(x.scaled_sum, scaled);
            }
        }
    }
}

fn plain_u8(tile: &[U8Block], x: &[ActivationBlock], out: &mut [Lanes]) {
    for (x, sums) in x.chunks_exact(tile.len()).zip(out) {
        *sums = [0.0; LANES];
        for (weights, x) in tile.iter().zip(x) {
            let mut dots = [-128 * x.sum; LANES];
            for group in 0..8 {
                for lane in 0..LANES {
                    for i in 0..4 {
                        let code = weights.codes[group * 64 + lane * 4 + i];
                        dots[lane] += i32::from(code) * i32::from(x.codes[group][i]);
                    }
                }
            }
            for lane in 0..LANES {
                let dot = dots[lane] as f32 * x.scale;
                sums[lane] = f16_to_f32(weights.scales[lane]).mul_add(dot, sums[lane]);
            }
        }
    }
}
