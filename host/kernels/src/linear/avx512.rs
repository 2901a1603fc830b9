//! Tiles of quantised weights with AVX-512 VNNI: one instruction multiplies 64 weights and adds them to 16 outputs.
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
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn multiply_u4<const R: usize>(
    tile: &[U4Block],
    x: &[ActivationBlock],
    out: &mut [Lanes; R],
) {
    let x: [&[ActivationBlock]; R] = split_rows(x, tile.len());
    let low_half = _mm512_set1_epi8(15);
    let mut sums = [_mm512_setzero_ps(); R];
    for (index, weights) in tile.iter().enumerate() {
        let mut codes = [_mm512_setzero_si512(); 8];
        for group in 0..4 {
            let both = load(&weights.codes, group);
            codes[group] = _mm512_and_si512(both, low_half);
            codes[group + 4] = _mm512_and_si512(_mm512_srli_epi16::<4>(both), low_half);
        }
        let (scales, offsets) = (widen(&weights.scales), widen(&weights.offsets));
        for row in 0..R {
            let x = &x[row][index];
            let dots = dot(_mm512_setzero_si512(), &codes, x);
            let dots = _mm512_mul_ps(_mm512_cvtepi32_ps(dots), _mm512_set1_ps(x.scale));
            sums[row] = _mm512_fmadd_ps(scales, dots, sums[row]);
            sums[row] = _mm512_fmadd_ps(offsets, _mm512_set1_ps(x.scaled_sum), sums[row]);
        }
    }
    store(&sums, out);
}

/// As `quantised::plain_u8`, for `R` rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn multiply_u8<const R: usize>(
    tile: &[U8Block],
    x: &[ActivationBlock],
    out: &mut [Lanes; R],
) {
    let x: [&[ActivationBlock]; R] = split_rows(x, tile.len());
    let mut sums = [_mm512_setzero_ps(); R];
    for (index, weights) in tile.iter().enumerate() {
        let mut codes = [_mm512_setzero_si512(); 8];
        for group in 0..8 {
            codes[group] = load(&weights.codes, group);
        }
        let scales = widen(&weights.scales);
        for row in 0..R {
            let x = &x[row][index];
            let dots = dot(_mm512_set1_epi32(-128 * x.sum), &codes, x);
            let dots = _mm512_mul_ps(_mm512_cvtepi32_ps(dots), _mm512_set1_ps(x.scale));
            sums[row] = _mm512_fmadd_ps(scales, dots, sums[row]);
        }
    }
    store(&sums, out);
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dot(start: __m512i, codes: &[__m512i; 8], x: &ActivationBlock) -> __m512i {
    let four =
        |group: usize| _mm512_set1_epi32(i32::from_ne_bytes(x.codes[group].map(|code| code as u8)));
    // Two sums, because each instruction waits for the one before it in its sum.
    let (mut low, mut high) = (start, _mm512_setzero_si512());
    for group in 0..4 {
        low = _mm512_dpbusd_epi32(low, codes[group], four(group));
        high = _mm512_dpbusd_epi32(high, codes[group + 4], four(group + 4));
    }
    _mm512_add_epi32(low, high)
}

/// The bytes `64 * group..64 * (group + 1)` of `codes`.
#[inline]
#[target_feature(enable = "avx512f")]
fn load<const N: usize>(codes: &[u8; N], group: usize) -> __m512i {
    let bytes: &[u8; 64] = codes[group * 64..]
        .first_chunk()
        .expect("a group is 64 bytes");
    // SAFETY: reads the 64 bytes of `bytes`; an unaligned load.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn widen(halves: &[u16; LANES]) -> __m512 {
    // SAFETY: reads the 32 bytes of `halves`; an unaligned load.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(halves.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store<const R: usize>(sums: &[__m512; R], out: &mut [Lanes; R]) {
    for (sums, out) in sums.iter().zip(out) {
        // SAFETY: writes the 64 bytes of `out`; an unaligned store.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), *sums) };
    }
}
