//! Free blocks in the order of their next use; any of them can leave the list in constant time.

use crate::runner::BlockId;

const NONE: u32 = u32::MAX;

/// A doubly linked list through arrays, one place per block of the pool.
#[derive(Debug)]
pub(super) struct FreeList {
    links: Vec<Link>,
    first: u32,
    last: u32,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
    is_in: bool,
}

impl FreeList {
    /// An empty list for `num_blocks` blocks.
    pub(super) fn new(num_blocks: usize) -> Self {
        let out = Link {
            before: NONE,
            after: NONE,
            is_in: false,
        };
        Self {
            links: vec![out; num_blocks],
            first: NONE,
            last: NONE,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn contains(&self, block: BlockId) -> bool {
        self.links[block.0 as usize].is_in
    }

    /// Used next.
    pub(super) fn push_front(&mut self, block: BlockId) {
        self.insert(block, NONE, self.first);
    }

    /// Used last.
    pub(super) fn push_back(&mut self, block: BlockId) {
        self.insert(block, self.last, NONE);
    }

    pub(super) fn pop_front(&mut self) -> Option<BlockId> {
        let first = (self.first != NONE).then_some(BlockId(self.first))?;
        self.remove(first);
        Some(first)
    }

    /// Takes a block out, wherever it stands.
    pub(super) fn remove(&mut self, block: BlockId) {
        let Link {
            before,
            after,
            is_in,
        } = self.links[block.0 as usize];
        assert!(is_in, "only a free block leaves the free list");
        self.links[block.0 as usize].is_in = false;
        self.join(before, after);
        self.len -= 1;
    }

    fn insert(&mut self, block: BlockId, before: u32, after: u32) {
        assert!(!self.contains(block), "a block is freed once");
        self.links[block.0 as usize].is_in = true;
        self.join(before, block.0);
        self.join(block.0, after);
        self.len += 1;
    }

    /// Makes two places neighbours; `NONE` is the list's end.
    fn join(&mut self, before: u32, after: u32) {
        match before {
            NONE => self.first = after,
            _ => self.links[before as usize].after = after,
        }
        match after {
            NONE => self.last = before,
            _ => self.links[after as usize].before = before,
        }
    }
}
