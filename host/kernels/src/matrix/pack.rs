//! From rows as files hold them to tiles. Rows are packed in parallel by the caller's choice: one call packs one matrix.

use half::f16;

use super::{Matrix, Part, Tiles, U4Block, U8Block};
use crate::activation::BLOCK;
use crate::lanes::LANES;
use crate::panel::Bf16;

/// Why bytes are no matrix of the shape asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackError {
    /// Bytes or numbers there should be.
    pub expected_len: usize,
    /// Bytes or numbers there are.
    pub found_len: usize,
}

impl std::fmt::Display for PackError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "expected {} elements for this shape, found {}",
            self.expected_len, self.found_len
        )
    }
}

impl std::error::Error for PackError {}

const Q4_0_LEN: usize = 18;
const Q4_1_LEN: usize = 20;
const Q8_0_LEN: usize = 34;

impl Matrix {
    /// From GGUF's Q4_0: row-major blocks of a half-float scale and 32 codes of 4 bits, `scale * (code - 8)`. Exact.
    pub fn from_q4_0(data: &[u8], rows: usize, cols: usize) -> Result<Self, PackError> {
        let pack = |block: &mut U4Block, lane: usize, bytes: &[u8]| {
            let scale = f16::from_le_bytes([bytes[0], bytes[1]]);
            // A power of two times a half float is one, unless it overflows; no sane file has such a scale.
            block.set_row(
                lane,
                scale,
                f16::from_f32(-8.0 * scale.to_f32()),
                &bytes[2..],
            );
        };
        let tiles = pack_blocks(data, rows, cols, Q4_0_LEN, U4Block::ZERO, pack)?;
        Ok(Self::of(rows, cols, Tiles::U4(tiles)))
    }

    /// From GGUF's Q4_1: as Q4_0 with a half-float offset after the scale, `scale * code + offset`. Exact.
    pub fn from_q4_1(data: &[u8], rows: usize, cols: usize) -> Result<Self, PackError> {
        let pack = |block: &mut U4Block, lane: usize, bytes: &[u8]| {
            let scale = f16::from_le_bytes([bytes[0], bytes[1]]);
            let offset = f16::from_le_bytes([bytes[2], bytes[3]]);
            block.set_row(lane, scale, offset, &bytes[4..]);
        };
        let tiles = pack_blocks(data, rows, cols, Q4_1_LEN, U4Block::ZERO, pack)?;
        Ok(Self::of(rows, cols, Tiles::U4(tiles)))
    }

    /// From GGUF's Q8_0: row-major blocks of a half-float scale and 32 signed codes. Exact.
    pub fn from_q8_0(data: &[u8], rows: usize, cols: usize) -> Result<Self, PackError> {
        let pack = |block: &mut U8Block, lane: usize, bytes: &[u8]| {
            let codes: [u8; BLOCK] = std::array::from_fn(|k| bytes[2 + k] ^ 0x80);
            block.set_row(lane, f16::from_le_bytes([bytes[0], bytes[1]]), &codes);
        };
        let tiles = pack_blocks(data, rows, cols, Q8_0_LEN, U8Block::ZERO, pack)?;
        Ok(Self::of(rows, cols, Tiles::U8(tiles)))
    }

    /// Rounds row-major floats to 8 bits a weight, as Q8_0 does: an error of at most 1/250 of the greatest of 32 neighbours.
    /// For formats that have no exact home here.
    pub fn round_to_q8(data: &[f32], rows: usize, cols: usize) -> Result<Self, PackError> {
        check(data.len(), rows * cols)?;
        let blocks_per_tile = cols.div_ceil(BLOCK);
        let mut tiles = vec![U8Block::ZERO; rows.div_ceil(LANES) * blocks_per_tile];
        for (row, weights) in data.chunks_exact(cols).enumerate() {
            for (index, weights) in weights.chunks(BLOCK).enumerate() {
                let greatest = weights.iter().fold(0.0f32, |a, b| a.max(b.abs()));
                let scale = f16::from_f32(greatest / 127.0);
                let inverse = if scale.to_f32() > 0.0 {
                    1.0 / scale.to_f32()
                } else {
                    0.0
                };
                let codes: [u8; BLOCK] = std::array::from_fn(|k| {
                    let weight = weights.get(k).copied().unwrap_or(0.0);
                    ((weight * inverse).round().clamp(-127.0, 127.0) + 128.0) as u8
                });
                tiles[row / LANES * blocks_per_tile + index].set_row(row % LANES, scale, &codes);
            }
        }
        Ok(Self::of(rows, cols, Tiles::U8(tiles)))
    }

    /// From row-major little-endian bfloat16. Kept as it is: half the memory traffic of floats, and exact.
    pub fn from_bf16(data: &[u8], rows: usize, cols: usize) -> Result<Self, PackError> {
        let read = |bytes: &[u8]| Bf16(u16::from_le_bytes([bytes[0], bytes[1]]));
        Ok(Self::of(
            rows,
            cols,
            Tiles::Bf16(pack_numbers(data, 2, rows, cols, read)?),
        ))
    }

    /// From row-major little-endian half floats, widened.
    pub fn from_f16(data: &[u8], rows: usize, cols: usize) -> Result<Self, PackError> {
        let read = |bytes: &[u8]| f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
        Ok(Self::of(
            rows,
            cols,
            Tiles::F32(pack_numbers(data, 2, rows, cols, read)?),
        ))
    }

    /// From row-major little-endian floats.
    pub fn from_f32(data: &[u8], rows: usize, cols: usize) -> Result<Self, PackError> {
        let read = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Ok(Self::of(
            rows,
            cols,
            Tiles::F32(pack_numbers(data, 4, rows, cols, read)?),
        ))
    }

    fn of(rows: usize, cols: usize, tiles: Tiles) -> Self {
        Self {
            rows,
            cols,
            parts: vec![Part { rows, tiles }],
        }
    }
}

impl U4Block {
    const ZERO: Self = Self {
        codes: [0; 256],
        scales: [0; LANES],
        offsets: [0; LANES],
    };

    /// `codes` as GGUF has them: byte `k` holds weight `k` in its low half and weight `16 + k` in its high half.
    fn set_row(&mut self, lane: usize, scale: f16, offset: f16, codes: &[u8]) {
        self.scales[lane] = scale.to_bits();
        self.offsets[lane] = offset.to_bits();
        for (group, codes) in codes.chunks_exact(4).enumerate() {
            self.codes[group * 64 + lane * 4..][..4].copy_from_slice(codes);
        }
    }
}

impl U8Block {
    const ZERO: Self = Self {
        codes: [0; 512],
        scales: [0; LANES],
    };

    fn set_row(&mut self, lane: usize, scale: f16, codes: &[u8; BLOCK]) {
        self.scales[lane] = scale.to_bits();
        for (group, codes) in codes.chunks_exact(4).enumerate() {
            self.codes[group * 64 + lane * 4..][..4].copy_from_slice(codes);
        }
    }
}

fn check(found_len: usize, expected_len: usize) -> Result<(), PackError> {
    if found_len == expected_len {
        Ok(())
    } else {
        Err(PackError {
            expected_len,
            found_len,
        })
    }
}

/// Tiles of blocks; `set` puts one row's block of `block_len` bytes into its lane.
fn pack_blocks<B: Copy>(
    data: &[u8],
    rows: usize,
    cols: usize,
    block_len: usize,
    zero: B,
    set: impl Fn(&mut B, usize, &[u8]),
) -> Result<Vec<B>, PackError> {
    let blocks_per_row = cols.div_ceil(BLOCK);
    check(data.len(), rows * blocks_per_row * block_len)?;
    let mut tiles = vec![zero; rows.div_ceil(LANES) * blocks_per_row];
    for (row, row_bytes) in data.chunks_exact(blocks_per_row * block_len).enumerate() {
        let tile = &mut tiles[row / LANES * blocks_per_row..][..blocks_per_row];
        for (block, bytes) in tile.iter_mut().zip(row_bytes.chunks_exact(block_len)) {
            set(block, row % LANES, bytes);
        }
    }
    Ok(tiles)
}

/// Tiles of single numbers of `number_len` bytes.
fn pack_numbers<T: Copy + Default>(
    data: &[u8],
    number_len: usize,
    rows: usize,
    cols: usize,
    read: impl Fn(&[u8]) -> T,
) -> Result<Vec<[T; LANES]>, PackError> {
    check(data.len(), rows * cols * number_len)?;
    let mut tiles = vec![[T::default(); LANES]; rows.div_ceil(LANES) * cols];
    for (row, row_bytes) in data.chunks_exact(cols * number_len).enumerate() {
        let tile = &mut tiles[row / LANES * cols..][..cols];
        for (vector, bytes) in tile.iter_mut().zip(row_bytes.chunks_exact(number_len)) {
            vector[row % LANES] = read(bytes);
        }
    }
    Ok(tiles)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(matrix: &Matrix, index: usize) -> Vec<f32> {
        let mut out = vec![0.0; matrix.cols()];
        matrix.row(index, &mut out);
        out
    }

    #[test]
    fn quantised_rows_read_back_as_the_file_defines_them() {
        let (rows, cols) = (19, 64);
        let scale = |row: usize, block: usize| f16::from_f32(0.01 * (row + 2 * block + 1) as f32);
        let offset = |row: usize| f16::from_f32(-0.3 * row as f32);
        let code = |row: usize, k: usize| ((row * 7 + k * 5) % 16) as u8;
        let (mut q4_0, mut q4_1, mut q8_0) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..rows {
            for block in 0..cols / 32 {
                let nibbles: Vec<u8> = (0..16)
                    .map(|k| code(row, k) | code(row, k + 16) << 4)
                    .collect();
                q4_0.extend(scale(row, block).to_le_bytes());
                q4_0.extend(&nibbles);
                q4_1.extend(scale(row, block).to_le_bytes());
                q4_1.extend(offset(row).to_le_bytes());
                q4_1.extend(&nibbles);
                q8_0.extend(scale(row, block).to_le_bytes());
                q8_0.extend((0..32).map(|k| ((8 - code(row, k) as i8) * 15) as u8));
            }
        }
        let q4_0 = Matrix::from_q4_0(&q4_0, rows, cols).unwrap();
        let q4_1 = Matrix::from_q4_1(&q4_1, rows, cols).unwrap();
        let q8_0 = Matrix::from_q8_0(&q8_0, rows, cols).unwrap();
        let both = Matrix::stack(vec![q4_1.clone(), q8_0.clone()]);
        for r in 0..rows {
            for k in 0..cols {
                let (d, c) = (scale(r, k / 32).to_f32(), f32::from(code(r, k % 32)));
                assert_eq!(row(&q4_0, r)[k], d * (c - 8.0));
                assert_eq!(row(&q4_1, r)[k], d * c + offset(r).to_f32());
                assert_eq!(row(&q8_0, r)[k], d * (8.0 - c) * 15.0);
            }
            assert_eq!(row(&both, r), row(&q4_1, r));
            assert_eq!(row(&both, rows + r), row(&q8_0, r));
        }
    }

    #[test]
    fn float_rows_read_back_exactly_and_rounded_ones_nearly() {
        let (rows, cols) = (5, 37);
        let weights: Vec<f32> = (0..rows * cols)
            .map(|i| ((i * 29) % 83) as f32 / 16.0 - 2.5)
            .collect();
        let f32_bytes: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
        let f16_bytes: Vec<u8> = weights
            .iter()
            .flat_map(|&w| f16::from_f32(w).to_le_bytes())
            .collect();
        let bf16_bytes: Vec<u8> = weights
            .iter()
            .flat_map(|&w| half::bf16::from_f32(w).to_le_bytes())
            .collect();
        let rounded = Matrix::round_to_q8(&weights, rows, cols).unwrap();
        for r in 0..rows {
            let expected = &weights[r * cols..][..cols];
            assert_eq!(
                row(&Matrix::from_f32(&f32_bytes, rows, cols).unwrap(), r),
                expected
            );
            assert_eq!(
                row(&Matrix::from_f16(&f16_bytes, rows, cols).unwrap(), r),
                expected
            );
            assert_eq!(
                row(&Matrix::from_bf16(&bf16_bytes, rows, cols).unwrap(), r),
                expected
            );
            for (found, expected) in row(&rounded, r).iter().zip(expected) {
                assert!((found - expected).abs() <= 2.7 / 250.0);
            }
        }
    }

    #[test]
    fn a_wrong_length_is_an_error() {
        assert_eq!(
            Matrix::from_f32(&[0; 12], 2, 2).err(),
            Some(PackError {
                expected_len: 16,
                found_len: 12
            })
        );
        assert!(Matrix::from_q4_1(&[0; 19], 1, 32).is_err());
        assert!(Matrix::from_q8_0(&[0; 35], 1, 32).is_err());
    }
}
