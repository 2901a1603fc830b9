//! Tiles of quantised weights with AVX2, eight outputs at a time.
#![allow(
    unsafe_code,
    reason = "vector loads and stores go through raw pointers"
)]

use std::arch::x86_64::*;

use crate::activation::ActivationBlock;
use crate::lanes::{LANES, Lanes};
use crate::linear::quantised::split_rows;
use crate::matrix::{U4Block, U8Block};

/// As `quantised::plain_u4`, for `R` rows.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply_u4<const R: usize>(
    tile: &[U4Block],
    x: &[ActivationBlock],
    out: &mut [Lanes; R],
) {
    let x: [&[ActivationBlock]; R] = split_rows(x, tile.len());
    let low_half = _mm256_set1_epi8(15);
    for first in [0, LANES / 2] {
        let mut sums = [_mm256_setzero_ps(); R];
        for (index, weights) in tile.iter().enumerate() {
            let mut pairs = [_mm256_setzero_si256(); R];
            for group in 0..4 {
                let both = load(&weights.codes, group, first);
                let low = _mm256_and_si256(both, low_half);
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(both), low_half);
                for row in 0..R {
                    let x = &x[row][index];
                    // 16 products of at most 15 * 127 fit 16 bits.
                    pairs[row] =
                        _mm256_add_epi16(pairs[row], _mm256_maddubs_epi16(low, four(x, group)));
                    pairs[row] = _mm256_add_epi16(
                        pairs[row],
                        _mm256_maddubs_epi16(high, four(x, group + 4)),
                    );
                }
            }
            let (scales, offsets) = (
                widen(&weights.scales, first),
                widen(&weights.offsets, first),
            );
            for row in 0..R {
                let x = &x[row][index];
                let dots = _mm256_madd_epi16(pairs[row], _mm256_set1_epi16(1));
                let dots = _mm256_mul_ps(_mm256_cvtepi32_ps(dots), _mm256_set1_ps(x.scale));
                sums[row] = _mm256_fmadd_ps(scales, dots, sums[row]);
                sums[row] = _mm256_fmadd_ps(offsets, _mm256_set1_ps(x.scaled_sum), sums[row]);
            }
        }
        store(&sums, out, first);
    }
}

/// As `quantised::plain_u8`, for `R` rows.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply_u8<const R: usize>(
    tile: &[U8Block],
    x: &[ActivationBlock],
    out: &mut [Lanes; R],
) {
    let x: [&[ActivationBlock]; R] = split_rows(x, tile.len());
    for first in [0, LANES / 2] {
        let mut sums = [_mm256_setzero_ps(); R];
        for (index, weights) in tile.iter().enumerate() {
            let mut dots = [_mm256_setzero_si256(); R];
            for group in 0..8 {
                // The instruction wants one factor unsigned, and 255 * 127 twice would overflow its 16 bits; so the weight
                // gives its size (at most 128) and its sign goes to the activation.
                let signed =
                    _mm256_xor_si256(load(&weights.codes, group, first), _mm256_set1_epi8(-128));
                let size = _mm256_abs_epi8(signed);
                for row in 0..R {
                    let pairs = _mm256_maddubs_epi16(
                        size,
                        _mm256_sign_epi8(four(&x[row][index], group), signed),
                    );
                    dots[row] =
                        _mm256_add_epi32(dots[row], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
                }
            }
            let scales = widen(&weights.scales, first);
            for row in 0..R {
                let dots = _mm256_mul_ps(
                    _mm256_cvtepi32_ps(dots[row]),
                    _mm256_set1_ps(x[row][index].scale),
                );
                sums[row] = _mm256_fmadd_ps(scales, dots, sums[row]);
            }
        }
        store(&sums, out, first);
    }
}

/// Four neighbouring activations in every lane.
#[inline]
#[target_feature(enable = "avx2")]
fn four(x: &ActivationBlock, group: usize) -> __m256i {
    _mm256_set1_epi32(i32::from_ne_bytes(x.codes[group].map(|code| code as u8)))
}

/// The codes of a group for the eight outputs from `first` on.
#[inline]
#[target_feature(enable = "avx2")]
fn load<const N: usize>(codes: &[u8; N], group: usize, first: usize) -> __m256i {
    let bytes: &[u8; 32] = codes[group * 64 + first * 4..]
        .first_chunk()
        .expect("half a group is 32 bytes");
    // SAFETY: reads the 32 bytes of `bytes`; an unaligned load.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn widen(halves: &[u16; LANES], first: usize) -> __m256 {
    let halves: &[u16; 8] = halves[first..].first_chunk().expect("half the lanes are 8");
    // SAFETY: reads the 16 bytes of `halves`; an unaligned load.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(halves.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn store<const R: usize>(sums: &[__m256; R], out: &mut [Lanes; R], first: usize) {
    for (sums, out) in sums.iter().zip(out) {
        let out: &mut [f32; 8] = out[first..]
            .first_chunk_mut()
            .expect("half the lanes are 8");
        // SAFETY: writes the 32 bytes of `out`; an unaligned store.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), *sums) };
    }
}
