//! The product that linear layers, attention scores and weighted values are all made of.

use crate::half_float::bf16_to_f32;
use crate::lanes::{LANES, Lanes};

/// How a number of a panel is stored.
pub(crate) trait Stored: Copy + Send + Sync + 'static {
    /// Its value, exactly.
    fn widen(self) -> f32;
}

impl Stored for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

/// The bits of a bfloat16.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub(crate) struct Bf16(pub(crate) u16);

impl Stored for Bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        bf16_to_f32(self.0)
    }
}

/// `acc[q][lane] += sum over i of a[q][i] * panel[i][lane]`, terms in order of `i`, one rounding a term.
///
/// Each `a[q]` is at least as long as the panel.
#[inline(always)]
pub(crate) fn accumulate<const Q: usize, T: Stored>(
    acc: &mut [Lanes; Q],
    a: [&[f32]; Q],
    panel: &[[T; LANES]],
) {
    // Plain loops: the closures of array methods are compiled without the caller's instruction set.
    let mut rows = a;
    for q in 0..Q {
        rows[q] = &a[q][..panel.len()];
    }
    let mut sums = *acc;
    for (i, stored) in panel.iter().enumerate() {
        let mut widened = [0.0; LANES];
        for lane in 0..LANES {
            widened[lane] = stored[lane].widen();
        }
        for q in 0..Q {
            let factor = rows[q][i];
            for lane in 0..LANES {
                sums[q][lane] = factor.mul_add(widened[lane], sums[q][lane]);
            }
        }
    }
    *acc = sums;
}
