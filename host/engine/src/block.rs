//! The blocks of the paged key/value cache: who owns which.

use crate::runner::BlockId;

/// The blocks of one sequence, in order. Made and extended by a [`BlockPool`] and given back to it whole.
#[derive(Debug, Default)]
pub struct BlockTable(Vec<BlockId>);

impl BlockTable {
    /// The blocks, in the order of the tokens that they hold.
    pub fn as_slice(&self) -> &[BlockId] {
        &self.0
    }
}

/// All blocks of a runner's cache: each is free or in exactly one table.
#[derive(Debug)]
pub struct BlockPool {
    block_len: usize,
    num_blocks: usize,
    free: Vec<BlockId>,
}

impl BlockPool {
    /// A pool of `num_blocks` free blocks that hold `block_len` tokens each.
    pub fn new(num_blocks: usize, block_len: usize) -> Self {
        assert!(block_len > 0, "a block holds at least one token");
        let free = (0..num_blocks as u32).rev().map(BlockId).collect();
        Self {
            block_len,
            num_blocks,
            free,
        }
    }

    /// Blocks in no table.
    pub fn num_free(&self) -> usize {
        self.free.len()
    }

    /// All blocks, free or not.
    pub fn num_blocks(&self) -> usize {
        self.num_blocks
    }

    /// Blocks that `len` tokens take.
    pub fn blocks_for(&self, len: usize) -> usize {
        len.div_ceil(self.block_len)
    }

    /// Grows `table` until it holds `len` tokens. Where too few blocks are free it takes none and returns `false`.
    #[must_use]
    pub fn grow(&mut self, table: &mut BlockTable, len: usize) -> bool {
        let missing = self.blocks_for(len).saturating_sub(table.0.len());
        if missing > self.free.len() {
            return false;
        }
        table
            .0
            .extend(self.free.drain(self.free.len() - missing..).rev());
        true
    }

    /// Takes a table's blocks back and leaves it empty.
    pub fn release(&mut self, table: &mut BlockTable) {
        self.free.extend(table.0.drain(..).rev());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_grows_by_whole_blocks_and_only_when_needed() {
        let mut pool = BlockPool::new(4, 16);
        let mut table = BlockTable::default();
        assert!(pool.grow(&mut table, 1));
        assert!(pool.grow(&mut table, 16));
        assert_eq!(table.as_slice(), [BlockId(0)]);
        assert!(pool.grow(&mut table, 17));
        assert_eq!(table.as_slice(), [BlockId(0), BlockId(1)]);
        assert_eq!(pool.num_free(), 2);
    }

    #[test]
    fn a_growth_that_does_not_fit_takes_nothing() {
        let mut pool = BlockPool::new(2, 16);
        let mut table = BlockTable::default();
        assert!(!pool.grow(&mut table, 33));
        assert_eq!((pool.num_free(), table.as_slice().len()), (2, 0));
    }

    #[test]
    fn released_blocks_are_free_again() {
        let mut pool = BlockPool::new(3, 1);
        let mut table = BlockTable::default();
        assert!(pool.grow(&mut table, 3));
        pool.release(&mut table);
        assert_eq!(pool.num_free(), 3);
        assert!(table.as_slice().is_empty());
    }
}
