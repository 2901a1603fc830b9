//! How a product is computed: which kernel, in which sizes. One table, by rows, shape and card.

use std::fmt;

use crate::cuda::{Device, Dispatch};

/// What plans depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    /// Streaming multiprocessors.
    pub num_sms: usize,
    /// The most dynamic shared memory of a block, in bytes.
    pub max_shared_bytes: usize,
}

impl From<&Device> for Card {
    fn from(device: &Device) -> Self {
        Self {
            num_sms: device.num_sms() as usize,
            max_shared_bytes: device.max_shared_bytes() as usize,
        }
    }
}

/// How a product is computed. Only [`Plan::splits`] has influence on the result's bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The kernel and its sizes.
    pub tiling: Tiling,
    /// Ranges that K is cut into, each other blocks' work.
    pub splits: usize,
}

/// A kernel and its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tiling {
    /// `gemm_stream.cu`, for up to 8 rows of x.
    Stream {
        /// Of the ring: 2, 4 or 6.
        stages: usize,
        /// Blocks on a multiprocessor.
        blocks_per_sm: usize,
    },
    /// `gemm_tile.cu`.
    Tile {
        /// 16, 32 or 64: the most rows of x.
        tokens: usize,
        /// Tiles of 16 weight rows a warp.
        tiles: usize,
        /// Groups that the tokens are cut into, each other warps' work.
        groups: usize,
        /// Warps in each of the block's two halves.
        warps: usize,
        /// Of the ring.
        stages: usize,
    },
}

impl Tiling {
    /// Those worth trying for `m` rows of x.
    pub fn candidates(m: usize) -> Vec<Self> {
        let mut candidates = Vec::new();
        if m <= STREAM_TOKENS {
            let streams = [(2, 1), (4, 1), (4, 2), (6, 1), (6, 2)];
            candidates.extend(streams.map(|(stages, blocks_per_sm)| Self::Stream {
                stages,
                blocks_per_sm,
            }));
        }
        // Tokens, tiles, groups, warps.
        let tiles: &[(usize, usize, usize, usize)] = match m {
            0..=16 => &[(16, 1, 1, 2), (16, 1, 1, 3), (16, 1, 1, 4), (16, 1, 1, 5)],
            17..=32 => &[(32, 1, 1, 2), (32, 1, 1, 3), (32, 1, 1, 4), (32, 1, 1, 5)],
            _ => &[
                (64, 2, 2, 4),
                (64, 2, 2, 6),
                (64, 2, 2, 8),
                (64, 5, 2, 2),
                (64, 5, 2, 4),
            ],
        };
        for &(tokens, tiles, groups, warps) in tiles {
            candidates.extend([2, 3, 4, 5, 6].map(|stages| Self::Tile {
                tokens,
                tiles,
                groups,
                warps,
                stages,
            }));
        }
        candidates
    }
}

impl fmt::Display for Tiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream {
                stages,
                blocks_per_sm,
            } => write!(f, "stream({stages}, {blocks_per_sm})"),
            Self::Tile {
                tokens,
                tiles,
                groups,
                warps,
                stages,
            } => write!(f, "tile({tokens}, {tiles}, {groups}, {warps}, {stages})"),
        }
    }
}

/// Inputs that are summed up one after the other in a share.
pub(super) const CHUNK: usize = 64;
/// Outputs of a tile.
pub(super) const TILE_ROWS: usize = 16;
/// Bytes of a tile's chunk, and of a token's.
const TILE_BYTES: usize = TILE_ROWS * CHUNK * 2;
const TOKEN_BYTES: usize = CHUNK * 2;
const STREAM_SHARES: usize = 8;
const STREAM_TOKENS: usize = 8;
const STREAM_THREADS: usize = 384;
/// Blocks with less shared memory than this, in bytes, get small rings.
const SMALL_SHARED: usize = 128 * 1024;
/// Static shared memory, rounded up.
const STATIC_SHARED: usize = 2048;
/// Tiles that a block of `gemm_stream` can finish for its split.
const MAX_FINISHED: usize = 256;

/// Ranges that K is cut into. A function of the shape alone, because it is part of the order of summation.
///
/// Matrices with few rows are cut so that blocks of 80 rows fill about 132 multiprocessors; a range keeps a chunk for each share.
pub fn num_splits(num_rows: usize, num_cols: usize) -> usize {
    let (blocks, chunks) = (num_rows.div_ceil(80), num_cols / CHUNK);
    let fits = |splits: &usize| blocks * splits <= 136 && STREAM_SHARES * splits <= chunks;
    [4, 2].into_iter().find(fits).unwrap_or(1)
}

impl Plan {
    /// The plan for `m` rows of x and a weight of `n` x `k`: what was fastest on an H100 inside a decode step (`host benchmark tune`),
    /// with less of it where a card has less shared memory.
    pub fn of(card: Card, m: usize, n: usize, k: usize) -> Self {
        let splits = num_splits(n, k);
        let shape = match n {
            _ if splits > 1 && k / splits > 2048 => Shape::LongSplit,
            _ if splits > 1 => Shape::Split,
            0..16_384 => Shape::Medium,
            16_384..65_536 => Shape::Tall,
            _ => Shape::Vocabulary,
        };
        // Cards whose blocks have 99 KB: two small blocks hide each other's waits, where there is room for them.
        let is_small = card.max_shared_bytes < SMALL_SHARED;
        let wanted = match (m, shape) {
            (0..=8, _) if is_small => stream(4, 1),
            (0..=1, Shape::Split) => stream(6, 1),
            (0..=1, Shape::LongSplit | Shape::Medium | Shape::Tall) => stream(6, 2),
            (5..=8, Shape::Medium) => tile(16, 1, 1, 4, 6),
            (0..=8, Shape::Medium | Shape::Tall) => stream(6, 1),
            (0..=8, Shape::Vocabulary) => stream(4, 2),
            (0..=16, _) if is_small => tile(16, 1, 1, 4, 2),
            (5..=8, Shape::Split) => tile(16, 1, 1, 3, 6),
            (0..=8, Shape::Split | Shape::LongSplit) => tile(16, 1, 1, 2, 6),
            (0..=16, Shape::Split) => tile(16, 1, 1, 2, 5),
            (0..=16, Shape::LongSplit) => tile(16, 1, 1, 5, 6),
            (0..=16, Shape::Medium) => tile(16, 1, 1, 4, 6),
            (0..=16, Shape::Tall) => tile(16, 1, 1, 5, 4),
            (0..=16, Shape::Vocabulary) => tile(16, 1, 1, 3, 3),
            (17..=32, _) if is_small => tile(32, 1, 1, 4, 2),
            (17..=32, Shape::Split) => tile(32, 1, 1, 2, 4),
            (17..=32, Shape::LongSplit) => tile(32, 1, 1, 5, 6),
            (17..=32, Shape::Medium) => tile(32, 1, 1, 4, 5),
            (17..=32, Shape::Tall) => tile(32, 1, 1, 5, 3),
            (17..=32, Shape::Vocabulary) => tile(32, 1, 1, 4, 3),
            (33.., _) if is_small => {
                // Here the arithmetic counts, so what the busiest multiprocessor has to do.
                let rows_of_busiest = |warps: usize| {
                    let units = (n / TILE_ROWS).div_ceil(warps) * splits;
                    units.div_ceil(card.num_sms) * warps
                };
                let warps = if rows_of_busiest(6) < rows_of_busiest(4) {
                    6
                } else {
                    4
                };
                tile(64, 2, 2, warps, 2)
            }
            (33.., Shape::Split | Shape::LongSplit) => tile(64, 2, 2, 6, 4),
            (33.., Shape::Medium) => tile(64, 2, 2, 4, 4),
            (33.., Shape::Tall) => tile(64, 5, 2, 4, 4),
            (33.., Shape::Vocabulary) => tile(64, 2, 2, 4, 3),
        };
        // Else a shorter ring of the same, or what all cards have room for.
        let last = if m <= 16 {
            tile(16, 1, 1, 4, 2)
        } else {
            tile(64, 2, 2, 4, 2)
        };
        let tiling = (2..=wanted.stages())
            .rev()
            .map(|stages| wanted.with_stages(stages))
            .find(|&tiling| Self { tiling, splits }.is_possible(card, m, n, k))
            .unwrap_or(last);
        Self { tiling, splits }
    }

    /// Whether the card has the shared memory, and the kernel room in its lists.
    pub fn is_possible(&self, card: Card, m: usize, n: usize, k: usize) -> bool {
        let fits = self.shared_bytes(m, k) + STATIC_SHARED <= card.max_shared_bytes;
        let has_room = match self.tiling {
            Tiling::Stream { .. } if self.splits > 1 => {
                let blocks = self.num_stream_blocks(card, n) / self.splits;
                (n / TILE_ROWS).div_ceil(blocks) <= MAX_FINISHED
            }
            Tiling::Stream { .. } | Tiling::Tile { .. } => true,
        };
        fits && has_room && m <= self.tokens()
    }

    fn tokens(&self) -> usize {
        match self.tiling {
            Tiling::Stream { .. } => STREAM_TOKENS,
            Tiling::Tile { tokens, .. } => tokens,
        }
    }

    fn num_stream_blocks(&self, card: Card, n: usize) -> usize {
        let Tiling::Stream { blocks_per_sm, .. } = self.tiling else {
            return 0;
        };
        let of_a_split = card.num_sms * blocks_per_sm / self.splits;
        of_a_split.clamp(1, n / TILE_ROWS) * self.splits
    }

    fn shared_bytes(&self, m: usize, k: usize) -> usize {
        match self.tiling {
            Tiling::Stream { stages, .. } => {
                let ring = STREAM_SHARES * stages * TILE_BYTES;
                let sums = 2 * STREAM_SHARES * STREAM_TOKENS * (TILE_ROWS + 4) * 4;
                let chunks = (k / CHUNK).div_ceil(self.splits);
                ring + sums + m * (chunks * TOKEN_BYTES + 16)
            }
            Tiling::Tile {
                tokens,
                tiles,
                groups,
                warps,
                stages,
            } => {
                let block_tiles = warps / groups * tiles;
                let ring = 2 * stages * (block_tiles * TILE_BYTES + tokens * TOKEN_BYTES);
                let sums = 2 * tokens * (block_tiles * TILE_ROWS + 4) * 4;
                ring.max(sums)
            }
        }
    }

    /// Its file and name.
    pub(super) fn kernel(&self) -> (&'static str, String) {
        match self.tiling {
            Tiling::Stream { stages, .. } => ("gemm_stream", format!("gemm_stream_{stages}")),
            Tiling::Tile {
                tokens,
                tiles,
                groups,
                ..
            } => ("gemm_tile", format!("gemm_tile_{tokens}_{tiles}_{groups}")),
        }
    }

    pub(super) fn dispatch(&self, card: Card, m: usize, n: usize, k: usize) -> Dispatch {
        let (grid, threads) = match self.tiling {
            Tiling::Stream { .. } => (
                [self.num_stream_blocks(card, n) as u32, 1, 1],
                STREAM_THREADS,
            ),
            Tiling::Tile {
                tiles,
                groups,
                warps,
                ..
            } => {
                let blocks = (n / TILE_ROWS).div_ceil(warps / groups * tiles);
                ([blocks as u32, self.splits as u32, 1], warps * 64)
            }
        };
        Dispatch {
            grid,
            threads: threads as u32,
            shared_bytes: self.shared_bytes(m, k) as u32,
            overlaps: true,
        }
    }
}

/// What a weight's shape asks for.
#[derive(Clone, Copy)]
enum Shape {
    /// K is cut, as of attention's output.
    Split,
    /// K is cut into long ranges, as of the feed-forward's second.
    LongSplit,
    /// Qkv.
    Medium,
    /// Gate and up.
    Tall,
    /// The head.
    Vocabulary,
}

impl Tiling {
    pub(super) fn stages(self) -> usize {
        match self {
            Self::Stream { stages, .. } | Self::Tile { stages, .. } => stages,
        }
    }

    fn with_stages(mut self, wanted: usize) -> Self {
        match &mut self {
            Self::Stream { stages, .. } => *stages = wanted & !1,
            Self::Tile { stages, .. } => *stages = wanted,
        }
        self
    }
}

const fn stream(stages: usize, blocks_per_sm: usize) -> Tiling {
    Tiling::Stream {
        stages,
        blocks_per_sm,
    }
}

const fn tile(tokens: usize, tiles: usize, groups: usize, warps: usize, stages: usize) -> Tiling {
    Tiling::Tile {
        tokens,
        tiles,
        groups,
        warps,
        stages,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::MAX_ROWS, *};

    #[test]
    fn every_card_has_a_plan_for_every_number_of_rows() {
        let a10g = (80, 99);
        let l4 = (58, 99);
        let a100 = (108, 163);
        let h100 = (132, 227);
        let shapes = [
            (6144, 2560),
            (2560, 4096),
            (19_456, 2560),
            (2560, 9728),
            (151_936, 2560),
            (960, 576),
            (576, 1536),
            (49_152, 576),
            (4096, 12_288),
            (24_576, 4096),
            (16, 64),
        ];
        for (num_sms, kilobytes) in [a10g, l4, a100, h100] {
            let card = Card {
                num_sms,
                max_shared_bytes: kilobytes * 1024,
            };
            for (n, k) in shapes {
                for m in 1..=MAX_ROWS {
                    let plan = Plan::of(card, m, n, k);
                    assert!(
                        plan.is_possible(card, m, n, k),
                        "{plan:?} for {m} x {n} x {k} on {card:?}"
                    );
                    assert_eq!(plan.splits, num_splits(n, k));
                }
            }
        }
    }
}
