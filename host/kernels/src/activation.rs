//! Activations in 8 bits: what a quantised matrix is multiplied with.

use std::cell::RefCell;

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

/// Hands `then` the rows of `x` (`row_len` long each) in blocks: `row_len.div_ceil(32)` blocks a row.
pub(crate) fn with_quantised(
    cpu: &Cpu,
    x: &[f32],
    row_len: usize,
    then: impl FnOnce(&[ActivationBlock]),
) {
    thread_local! {
        /// Kept between calls: fresh memory for a long prompt costs more than the rounding.
        static BLOCKS: RefCell<Vec<ActivationBlock>> = const { RefCell::new(Vec::new()) };
    }
    let blocks_per_row = row_len.div_ceil(BLOCK);
    let num_blocks = x.len() / row_len * blocks_per_row;
    let mut blocks = BLOCKS.take();
    if blocks.len() < num_blocks {
        blocks.resize(num_blocks, ActivationBlock::default());
    }
    cpu.for_each_row(&mut blocks[..num_blocks], blocks_per_row, |row, blocks| {
        quantise_row(cpu.isa(), &x[row * row_len..][..row_len], blocks);
    });
    then(&blocks[..num_blocks]);
    BLOCKS.set(blocks);
}

for_each_isa! {
    fn quantise_row(x: &[f32], out: &mut [ActivationBlock]) = quantise_row_generic
}

#[inline(always)]
fn quantise_row_generic(x: &[f32], out: &mut [ActivationBlock]) {
    let (whole, rest) = x.as_chunks();
    for (inputs, block) in whole.iter().zip(&mut *out) {
        quantise_block(inputs, block);
    }
    if let Some(block) = out.get_mut(whole.len()) {
        let mut padded = [0.0; BLOCK];
        padded[..rest.len()].copy_from_slice(rest);
        quantise_block(&padded, block);
    }
}

#[inline(always)]
fn quantise_block(x: &[f32; BLOCK], block: &mut ActivationBlock) {
    let greatest = greatest_size(x);
    // What is smaller has no finite inverse and counts as 0.
    let is_zero = greatest < 1e-35;
    block.scale = if is_zero { 0.0 } else { greatest / 127.0 };
    let inverse = if is_zero { 0.0 } else { 127.0 / greatest };
    let mut sums = [0i32; LANES];
    let codes = block.codes.as_flattened_mut();
    for half in 0..2 {
        let x = &x[half * LANES..][..LANES];
        let codes = &mut codes[half * LANES..][..LANES];
        for i in 0..LANES {
            let code = integer_of(x[i].mul_add(inverse, ROUND));
            codes[i] = code as i8;
            sums[i] = sums[i].wrapping_add(code);
        }
    }
    block.sum = reduce(sums, |a, b| a.wrapping_add(b));
    block.scaled_sum = block.scale * block.sum as f32;
}

/// The greatest size among the inputs; NaN if one is NaN, so that it reaches the scale and with it the result.
#[inline(always)]
fn greatest_size(x: &[f32; BLOCK]) -> f32 {
    // Without their signs floats are ordered like their bits, with NaN on top.
    let mut greatest = [0i32; LANES];
    for half in 0..2 {
        let x = &x[half * LANES..][..LANES];
        for i in 0..LANES {
            greatest[i] = greatest[i].max((x[i].to_bits() & 0x7fff_ffff) as i32);
        }
    }
    f32::from_bits(reduce(greatest, |a, b| a.max(b)) as u32)
}

/// All lanes combined, halving their number each time.
#[inline(always)]
fn reduce(mut lanes: [i32; LANES], combine: impl Fn(i32, i32) -> i32) -> i32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = combine(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantise(x: &[f32]) -> Vec<ActivationBlock> {
        let mut copy = Vec::new();
        with_quantised(&Cpu::new(1), x, x.len(), |blocks| {
            copy.extend_from_slice(blocks)
        });
        copy
    }

    #[test]
    fn codes_are_within_half_a_step_of_the_input_and_sums_agree() {
        let x: Vec<f32> = (0..45).map(|i| ((i * 37) % 91) as f32 - 45.0).collect();
        let blocks = quantise(&x);
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
        assert!(quantise(&x)[0].scale.is_nan());
    }

    #[test]
    fn zeros_have_no_codes() {
        let blocks = quantise(&[0.0; 32]);
        assert_eq!((blocks[0].scale, blocks[0].sum), (0.0, 0));
    }
}
