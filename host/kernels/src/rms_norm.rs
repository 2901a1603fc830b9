//! `y = x / sqrt(mean(x^2) + eps) * weight`, row by row.

use crate::cpu::Cpu;
use crate::heads::HeadColumns;
use crate::isa::for_each_isa;
use crate::lanes::{LANES, Lanes, sum};

/// Normalises the rows of `x` (`weight.len()` long each) into `y`, which is as long. Panics if the shapes do not fit.
pub fn rms_norm(cpu: &Cpu, x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
    assert!(
        x.len() == y.len() && x.len().is_multiple_of(weight.len()),
        "x and y are whole rows of the weight's length"
    );
    cpu.for_each_row(y, weight.len(), |row, y| {
        y.copy_from_slice(&x[row * weight.len()..][..weight.len()]);
        normalise(cpu.isa(), y, weight, eps);
    });
}

/// Normalises each of the `heads` in the rows of `x` by itself, in place. Panics if the shapes do not fit.
pub fn rms_norm_heads(cpu: &Cpu, x: &mut [f32], heads: HeadColumns, weight: &[f32], eps: f32) {
    assert!(
        x.len().is_multiple_of(heads.row_len) && weight.len() == heads.head_len,
        "x is whole rows, weight one head"
    );
    cpu.for_each_row(x, heads.row_len, |_, row| {
        for head in heads.of(row) {
            normalise(cpu.isa(), head, weight, eps);
        }
    });
}

for_each_isa! {
    fn normalise(x: &mut [f32], weight: &[f32], eps: f32) = normalise_generic
}

#[inline(always)]
fn normalise_generic(x: &mut [f32], weight: &[f32], eps: f32) {
    let mut squares: Lanes = [0.0; LANES];
    let mut chunks = x.chunks_exact(LANES);
    for chunk in &mut chunks {
        for lane in 0..LANES {
            squares[lane] = chunk[lane].mul_add(chunk[lane], squares[lane]);
        }
    }
    for (square, rest) in squares.iter_mut().zip(chunks.remainder()) {
        *square = rest.mul_add(*rest, *square);
    }
    let factor = 1.0 / (sum(&squares) / x.len() as f32 + eps).sqrt();
    for (x, weight) in x.iter_mut().zip(weight) {
        *x = *x * factor * weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    fn reference(x: &[f32], weight: &[f32], eps: f32) -> Vec<f64> {
        let mean = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / x.len() as f64;
        let factor = 1.0 / (mean + f64::from(eps)).sqrt();
        x.iter()
            .zip(weight)
            .map(|(&x, &weight)| f64::from(x) * factor * f64::from(weight))
            .collect()
    }

    #[test]
    fn rows_equal_the_reference_for_odd_lengths_on_every_isa() {
        for len in [1, 15, 16, 17, 64, 577] {
            let x: Vec<f32> = (0..3 * len)
                .map(|i| ((i * 31) % 53) as f32 / 7.0 - 3.0)
                .collect();
            let weight: Vec<f32> = (0..len).map(|i| 0.5 + (i % 5) as f32).collect();
            let mut first: Option<Vec<f32>> = None;
            for isa in Isa::supported() {
                let mut y = vec![0.0; x.len()];
                rms_norm(&Cpu::with_isa(isa, 2), &x, &weight, 1e-5, &mut y);
                for (x, y) in x.chunks(len).zip(y.chunks(len)) {
                    for (found, expected) in y.iter().zip(reference(x, &weight, 1e-5)) {
                        // A few roundings of 2^-24 each.
                        assert!(
                            (f64::from(*found) - expected).abs() <= 1e-6 * expected.abs().max(1e-3)
                        );
                    }
                }
                assert_eq!(
                    first.get_or_insert_with(|| y.clone()),
                    &y,
                    "{} gives other bits",
                    isa.name()
                );
            }
        }
    }

    #[test]
    fn heads_are_normalised_one_by_one_and_other_columns_stay() {
        let cpu = Cpu::new(1);
        let weight = [1.0, 2.0, 3.0];
        let mut x: Vec<f32> = (0..20).map(|i| i as f32).collect();
        let before = x.clone();
        let heads = HeadColumns {
            row_len: 10,
            first: 2,
            num_heads: 2,
            head_len: 3,
        };
        rms_norm_heads(&cpu, &mut x, heads, &weight, 1e-6);
        for row in 0..2 {
            assert_eq!(x[row * 10..][..2], before[row * 10..][..2]);
            assert_eq!(x[row * 10 + 8..][..2], before[row * 10 + 8..][..2]);
            for head in 0..2 {
                let at = row * 10 + 2 + head * 3;
                let mut expected = [0.0; 3];
                rms_norm(&cpu, &before[at..at + 3], &weight, 1e-6, &mut expected);
                assert_eq!(x[at..at + 3], expected);
            }
        }
    }
}
