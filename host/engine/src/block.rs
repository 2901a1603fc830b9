//! The blocks of the paged key/value cache: who uses which, and what the unused ones still hold.
//!
//! A block is used by any number of sequences: those that begin with the same tokens share its keys and values. One that
//! nobody uses is free, but keeps what it holds until it is needed for something else (an idea of nano-vllm's and
//! vLLM V1's), so a prompt that comes again finds its beginning computed.

mod free_list;
mod prefix;

use std::fmt;

use tokio::sync::broadcast;

use self::{
    free_list::FreeList,
    prefix::{Chain, PrefixCache},
};
use crate::runner::{BlockId, TokenId};

pub use self::prefix::{BlockHash, CacheScope, KvEvent};

/// The blocks of one sequence, in order. Made and extended by a [`BlockPool`] and given back to it whole.
#[derive(Debug, Default)]
pub struct BlockTable {
    blocks: Vec<BlockId>,
    /// Where the sequence is in the prefix cache: the chain of its first `chain.len()` blocks.
    chain: Chain,
}

impl BlockTable {
    /// The blocks, in the order of the tokens that they hold.
    pub fn as_slice(&self) -> &[BlockId] {
        &self.blocks
    }
}

/// Blocks that hold the first tokens of a sequence. Nobody's until [`BlockPool::admit`] takes them.
#[derive(Debug, Default)]
pub struct Prefix {
    blocks: Vec<BlockId>,
    chain: Chain,
}

impl Prefix {
    /// How many blocks there are.
    pub fn num_blocks(&self) -> usize {
        self.blocks.len()
    }
}

/// Whether blocks keep what they hold after their last user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// They do, and prompts are looked up.
    On,
    /// They do not.
    Off,
}

/// All blocks of a runner's cache.
#[derive(Debug)]
pub struct BlockPool {
    block_len: usize,
    /// How many tables each block is in.
    num_users: Vec<u32>,
    /// The blocks without users, in the order in which they will be used again.
    free: FreeList,
    cache: Option<PrefixCache>,
}

impl BlockPool {
    /// A pool of `num_blocks` free and empty blocks that hold `block_len` tokens each. `model` tells the hashes of different
    /// models apart.
    pub fn new(num_blocks: usize, block_len: usize, caching: Caching, model: &str) -> Self {
        assert!(block_len > 0, "a block holds at least one token");
        let mut free = FreeList::new(num_blocks);
        (0..num_blocks as u32).for_each(|block| free.push_back(BlockId(block)));
        Self {
            block_len,
            num_users: vec![0; num_blocks],
            free,
            cache: (caching == Caching::On).then(|| PrefixCache::new(num_blocks, block_len, model)),
        }
    }

    /// Blocks without users.
    pub fn num_free(&self) -> usize {
        self.free.len()
    }

    /// All blocks, free or not.
    pub fn num_blocks(&self) -> usize {
        self.num_users.len()
    }

    /// Blocks that hold a prefix which a later prompt can find, used or not.
    pub fn num_cached(&self) -> usize {
        self.cache.as_ref().map_or(0, PrefixCache::len)
    }

    /// Cached blocks that were given away for something else since start.
    pub fn num_evictions(&self) -> u64 {
        self.cache.as_ref().map_or(0, |cache| cache.num_evictions)
    }

    /// Tokens in a block.
    pub fn block_len(&self) -> usize {
        self.block_len
    }

    /// Blocks that `len` tokens take.
    pub fn blocks_for(&self, len: usize) -> usize {
        len.div_ceil(self.block_len)
    }

    /// Where [`KvEvent`]s are sent; `None` where nothing is cached.
    pub fn event_sender(&self) -> Option<broadcast::Sender<KvEvent>> {
        Some(self.cache.as_ref()?.events.clone())
    }

    /// The cached blocks that hold the beginning of `tokens`: whole blocks, and never all tokens, as the last one must be
    /// computed to have logits.
    pub fn find(&self, tokens: &[TokenId], scope: &CacheScope) -> Prefix {
        let Some(cache) = &self.cache else {
            return Prefix::default();
        };
        let (blocks, chain) = cache.find(&tokens[..tokens.len().saturating_sub(1)], scope);
        Prefix { blocks, chain }
    }

    /// The first `num_blocks` blocks of another sequence, which must be computed.
    pub fn share(&self, table: &BlockTable, num_blocks: usize) -> Prefix {
        Prefix {
            blocks: table.blocks[..num_blocks].to_vec(),
            chain: Chain::default(),
        }
    }

    /// A table that begins with `prefix` and holds `len` tokens, if besides there are blocks enough free for `whole_len`;
    /// otherwise nothing changes.
    #[must_use]
    pub fn admit(&mut self, prefix: Prefix, len: usize, whole_len: usize) -> Option<BlockTable> {
        let is_free = |block: &&BlockId| self.num_users[block.0 as usize] == 0;
        let revived = prefix.blocks.iter().filter(is_free).count();
        let fresh = self
            .blocks_for(whole_len)
            .saturating_sub(prefix.num_blocks());
        if revived + fresh > self.free.len() {
            return None;
        }
        for &block in &prefix.blocks {
            let num_users = &mut self.num_users[block.0 as usize];
            if *num_users == 0 {
                self.free.remove(block);
            }
            *num_users += 1;
        }
        let mut table = BlockTable {
            blocks: prefix.blocks,
            chain: prefix.chain,
        };
        let grown = self.grow(&mut table, len);
        debug_assert!(grown, "there is room for the whole, so there is for a part");
        Some(table)
    }

    /// Grows `table` until it holds `len` tokens. Where too few blocks are free it takes none and returns `false`.
    #[must_use]
    pub fn grow(&mut self, table: &mut BlockTable, len: usize) -> bool {
        let missing = self.blocks_for(len).saturating_sub(table.blocks.len());
        if missing > self.free.len() {
            return false;
        }
        for _ in 0..missing {
            let block = self.free.pop_front().expect("as many are free");
            if let Some(cache) = &mut self.cache {
                cache.evict(block);
            }
            self.num_users[block.0 as usize] = 1;
            table.blocks.push(block);
        }
        true
    }

    /// Remembers the blocks of `table` that `tokens`, all of them computed, have filled.
    pub fn remember(&mut self, table: &mut BlockTable, tokens: &[TokenId], scope: &CacheScope) {
        if let Some(cache) = &mut self.cache {
            cache.remember(&mut table.chain, &table.blocks, tokens, scope);
        }
    }

    /// Takes a table's blocks back and leaves it empty.
    ///
    /// Of what stays cached the end of a sequence goes first, since its beginning is of use without it; blocks that hold
    /// nothing of use go before all others.
    pub fn release(&mut self, table: &mut BlockTable) {
        for block in std::mem::take(table).blocks.into_iter().rev() {
            let num_users = &mut self.num_users[block.0 as usize];
            *num_users -= 1;
            if *num_users > 0 {
                continue;
            }
            match &self.cache {
                Some(cache) if cache.holds(block) => self.free.push_back(block),
                _ => self.free.push_front(block),
            }
        }
    }

    /// Compares the books with the tables in use: each block is in as many as it says, and free if it is in none.
    pub fn check<'a>(
        &self,
        tables: impl Iterator<Item = &'a BlockTable>,
    ) -> Result<(), BrokenBooks> {
        let mut num_users = vec![0; self.num_users.len()];
        for block in tables.flat_map(BlockTable::as_slice) {
            num_users[block.0 as usize] += 1;
        }
        let wrong = (0..self.num_blocks() as u32).map(BlockId).find(|&block| {
            let index = block.0 as usize;
            let (counted, noted) = (num_users[index], self.num_users[index]);
            counted != noted || (counted == 0) != self.free.contains(block)
        });
        match wrong {
            Some(block) => Err(BrokenBooks {
                block,
                counted: num_users[block.0 as usize],
                noted: self.num_users[block.0 as usize],
                is_free: self.free.contains(block),
            }),
            None => Ok(()),
        }
    }
}

/// A block whose users are not those that the pool has noted: a fault of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenBooks {
    /// The first such block.
    pub block: BlockId,
    /// The tables that it is in.
    pub counted: u32,
    /// The tables that the pool believes it to be in.
    pub noted: u32,
    /// Whether it is on the free list.
    pub is_free: bool,
}

impl fmt::Display for BrokenBooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            block,
            counted,
            noted,
            is_free,
        } = self;
        write!(
            f,
            "block {} has {counted} users, {noted} are noted, free: {is_free}",
            block.0
        )
    }
}

#[cfg(test)]
mod tests;
