//! `y = gate / (1 + e^-gate) * up`: the gated feed-forward layer's activation.

use crate::cpu::Cpu;
use crate::isa::for_each_isa;
use crate::lanes::exp;

/// Each row of `gate_up` holds a gate and an up half of `row_len` numbers; `y` has rows of `row_len`.
/// Panics if the shapes do not fit.
pub fn silu_mul(cpu: &Cpu, gate_up: &[f32], row_len: usize, y: &mut [f32]) {
    assert!(
        gate_up.len() == 2 * y.len() && y.len().is_multiple_of(row_len),
        "a gate and an up half for each row of y"
    );
    cpu.for_each_row(y, row_len, |row, y| {
        let (gate, up) = gate_up[row * 2 * row_len..][..2 * row_len].split_at(row_len);
        silu_mul_row(cpu.isa(), gate, up, y);
    });
}

for_each_isa! {
    fn silu_mul_row(gate: &[f32], up: &[f32], y: &mut [f32]) = silu_mul_generic
}

#[inline(always)]
fn silu_mul_generic(gate: &[f32], up: &[f32], y: &mut [f32]) {
    for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
        *y = gate / (1.0 + exp(-gate)) * up;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    #[test]
    fn rows_equal_the_reference_on_every_isa() {
        let row_len = 37;
        let gate_up: Vec<f32> = (0..4 * row_len)
            .map(|i| ((i * 41) % 401) as f32 / 4.0 - 50.0)
            .collect();
        let mut first: Option<Vec<f32>> = None;
        for isa in Isa::supported() {
            let mut y = vec![0.0; 2 * row_len];
            silu_mul(&Cpu::with_isa(isa, 2), &gate_up, row_len, &mut y);
            for (index, found) in y.iter().enumerate() {
                let at = index / row_len * 2 * row_len + index % row_len;
                let (gate, up) = (f64::from(gate_up[at]), f64::from(gate_up[at + row_len]));
                let expected = gate / (1.0 + (-gate).exp()) * up;
                // Two units of the exponential and three roundings.
                assert!((f64::from(*found) - expected).abs() <= 5e-7 * expected.abs() + 1e-30);
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
