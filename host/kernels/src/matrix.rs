//! Weight matrices, stored the way the linear op reads them.
//!
//! A matrix has `rows` outputs and `cols` inputs. Sixteen rows make a tile, and within a tile the sixteen numbers that meet
//! the same input lie together, so that one vector lane is one output.

mod pack;

use crate::activation::BLOCK;
use crate::half_float::{bf16_to_f32, f16_to_f32};
use crate::lanes::LANES;
use crate::panel::Bf16;

pub use pack::PackError;

/// Sixteen rows of 32 weights in 4 bits: `scale * code + offset`, one scale and offset a row. Q4_0 and Q4_1 exactly.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct U4Block {
    /// Byte `64 * g + 4 * row + i` holds input `4 * g + i` in its low half and input `16 + 4 * g + i` in its high half.
    pub(crate) codes: [u8; 256],
    /// Half floats.
    pub(crate) scales: [u16; LANES],
    /// Half floats.
    pub(crate) offsets: [u16; LANES],
}

/// Sixteen rows of 32 weights in 8 bits: `scale * (code - 128)`, one scale a row. Q8_0 exactly.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(crate) struct U8Block {
    /// Byte `64 * g + 4 * row + i` holds input `4 * g + i`.
    pub(crate) codes: [u8; 512],
    /// Half floats.
    pub(crate) scales: [u16; LANES],
}

/// The tiles of one part, tile after tile. Rows and inputs beyond the matrix are zero weights.
#[derive(Clone)]
pub(crate) enum Tiles {
    /// `cols.div_ceil(32)` blocks a tile.
    U4(Vec<U4Block>),
    /// `cols.div_ceil(32)` blocks a tile.
    U8(Vec<U8Block>),
    /// `cols` vectors a tile.
    Bf16(Vec<[Bf16; LANES]>),
    /// `cols` vectors a tile.
    F32(Vec<[f32; LANES]>),
}

/// Rows that are stored alike.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) rows: usize,
    pub(crate) tiles: Tiles,
}

/// A weight matrix, packed.
#[derive(Clone)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    parts: Vec<Part>,
}

impl Matrix {
    /// The matrices one above the other, so that one pass computes them all; formats may differ. Panics if there are none
    /// or their inputs differ: the caller has checked its shapes.
    pub fn stack(matrices: Vec<Self>) -> Self {
        let cols = matrices
            .first()
            .expect("a stack has at least one matrix")
            .cols;
        assert!(
            matrices.iter().all(|matrix| matrix.cols == cols),
            "stacked matrices have the same inputs"
        );
        Self {
            rows: matrices.iter().map(|matrix| matrix.rows).sum(),
            cols,
            parts: matrices
                .into_iter()
                .flat_map(|matrix| matrix.parts)
                .collect(),
        }
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes of memory, padding included.
    pub fn byte_len(&self) -> usize {
        self.parts
            .iter()
            .map(|part| match &part.tiles {
                Tiles::U4(tiles) => size_of_val(&tiles[..]),
                Tiles::U8(tiles) => size_of_val(&tiles[..]),
                Tiles::Bf16(tiles) => size_of_val(&tiles[..]),
                Tiles::F32(tiles) => size_of_val(&tiles[..]),
            })
            .sum()
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Writes the weights of one row, widened, to `out` (`cols` long). Panics if the row is not below `rows`.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        let mut row = row;
        let part = self
            .parts
            .iter()
            .find(|part| {
                let found = row < part.rows;
                row -= if found { 0 } else { part.rows };
                found
            })
            .expect("the row is below the matrix's rows");
        let (tile, lane) = (row / LANES, row % LANES);
        let blocks_per_tile = self.cols.div_ceil(BLOCK);
        for (col, weight) in out[..self.cols].iter_mut().enumerate() {
            let (block, k) = (tile * blocks_per_tile + col / BLOCK, col % BLOCK);
            *weight = match &part.tiles {
                Tiles::U4(tiles) => tiles[block].weight(lane, k),
                Tiles::U8(tiles) => tiles[block].weight(lane, k),
                Tiles::Bf16(tiles) => bf16_to_f32(tiles[tile * self.cols + col][lane].0),
                Tiles::F32(tiles) => tiles[tile * self.cols + col][lane],
            };
        }
    }
}

impl U4Block {
    fn weight(&self, lane: usize, k: usize) -> f32 {
        let byte = self.codes[k % 16 / 4 * 64 + lane * 4 + k % 4];
        let code = if k < 16 { byte & 15 } else { byte >> 4 };
        f16_to_f32(self.scales[lane]).mul_add(f32::from(code), f16_to_f32(self.offsets[lane]))
    }
}

impl U8Block {
    fn weight(&self, lane: usize, k: usize) -> f32 {
        f16_to_f32(self.scales[lane])
            * (f32::from(self.codes[k / 4 * 64 + lane * 4 + k % 4]) - 128.0)
    }
}
