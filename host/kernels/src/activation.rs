//! Activations in 8 bits: what a quantised matrix is multiplied with.

use crate::cpu::Cpu;
use crate::isa::for_each_isa;
use crate::lanes::{LANES, ROUND, integer_of};

/// Inputs that share a scale.
pub(crate) const BLOCK: usize = 32;

/// 32 inputs of one row as `scale * code`, codes within -127..=127; past the row's end they are 0.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct ActivationBlock {
    /// Four neighbours lie together because that is what one lane of a dot-product instruction takes.
    pub(crate) codes: [[i8; 4]; BLOCK / 4],
    pub(crate) scale: f32,
    /// `scale` times the sum of the codes: what a weight's offset is multiplied with.
    pub(crate) scaled_sum: f32,
    /// The sum of the codes.
    pub(crate) sum: i32,
}

/// Rows of `row_len` inputs in blocks: `row_len.div_ceil(32)` blocks a row.
pub(crate) fn quantise(cpu: &Cpu, x: &[f32], row_len: usize) -> Vec<ActivationBlock> {
    let blocks_per_row = row_len.div_ceil(BLOCK);
    let num_rows = x.len() / row_len;
    let mut blocks = vec![ActivationBlock::default(); num_rows * blocks_per_row];
    cpu.for_each_row(&mut blocks, blocks_per_row, |row, blocks| {
        quantise_row(cpu.isa(), &x[row * row_len..][..row_len], blocks);
    });
    blocks
}

for_each_isa! {
    fn quantise_row(x: &[f32], out: &mut [ActivationBlock]) = quantise_row_generic
}

#[inline(always)]
fn quantise_row_generic(x: &[f32], out: &mut [ActivationBlock]) {
    for (inputs, block) in x.chunks(BLOCK).zip(out) {
        let mut padded = [0.0; BLOCK];
        padded[..inputs.len()].copy_from_slice(inputs);
        *block = quantise_block(&padded);
    }
}

#[inline(always)]
fn quantise_block(x: &[f32; BLOCK]) -> ActivationBlock {
    // Sizes are compared as integers: floats without their sign are ordered like their bits, and NaN comes out on top, so that
    // it reaches the scale and with it the result.
    let mut greatest = [0u32; LANES];
    for i in 0..LANES {
        let (a, b) = (x[i].to_bits() << 1, x[i + LANES].to_bits() << 1);
        greatest[i] = if a > b { a } else { b };
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            let (a, b) = (greatest[i], greatest[i + width]);
            greatest[i] = if a > b { a } else { b };
        }
        width /= 2;
    }
    let greatest = f32::from_bits(greatest[0] >> 1);
    // What is smaller has no finite inverse and counts as 0.
    let is_zero = greatest < 1e-35;
    let scale = if is_zero { 0.0 } else { greatest / 127.0 };
    let inverse = if is_zero { 0.0 } else { 127.0 / greatest };
    let mut codes = [0i8; BLOCK];
    let mut sum = 0;
    for i in 0..BLOCK {
        let code = integer_of(x[i].mul_add(inverse, ROUND)) as i8;
        codes[i] = code;
        sum += i32::from(code);
    }
    let mut block = ActivationBlock {
        codes: [[0; 4]; BLOCK / 4],
        scale,
        scaled_sum: scale * sum as f32,
        sum,
    };
    block.codes.as_flattened_mut().copy_from_slice(&codes);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_within_half_a_step_of_the_input_and_sums_agree() {
        let x: Vec<f32> = (0..45).map(|i| ((i * 37) % 91) as f32 - 45.0).collect();
        let blocks = quantise(&Cpu::new(1), &x, x.len());
        assert_eq!(blocks.len(), 2);
        for (index, input) in x.iter().enumerate() {
            let block = &blocks[index / BLOCK];
            let code = block.codes[index % BLOCK / 4][index % 4];
            assert!((f32::from(code) * block.scale - input).abs() <= 0.501 * block.scale);
        }
        for block in &blocks {
            let sum: i32 = block
                .codes
                .as_flattened()
                .iter()
                .map(|&code| i32::from(code))
                .sum();
            assert_eq!(block.sum, sum);
            assert_eq!(block.scaled_sum, sum as f32 * block.scale);
        }
        assert_eq!(blocks[1].codes[4], [0; 4], "codes past the row's end are 0");
    }

    #[test]
    fn nan_reaches_the_scale() {
        let mut x = [1.0; 32];
        x[7] = f32::NAN;
        assert!(quantise(&Cpu::new(1), &x, 32)[0].scale.is_nan());
    }

    #[test]
    fn zeros_have_no_codes() {
        let blocks = quantise(&Cpu::new(1), &[0.0; 32], 32);
        assert_eq!((blocks[0].scale, blocks[0].sum), (0.0, 0));
    }
}
