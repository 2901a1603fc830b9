//! Which blocks hold which beginnings of sequences.
//!
//! The blocks of a sequence form a chain: each is known by the hash of its tokens and of the chain before it. A hash only
//! leads to a block: before the block is used its tokens are compared, and its predecessor must be the very block that the
//! search came from, so a collision costs a hit and never an answer.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
};

use tokio::sync::broadcast;
use xxhash_rust::xxh3::xxh3_128;

use crate::runner::{BlockId, TokenId};

/// Events that a slow reader may lag behind before it misses some.
const EVENT_BACKLOG: usize = 4096;

/// Hash of a block's tokens and of all before them, and of model, adapter and salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockHash(pub u128);

/// What must be equal, besides the tokens, for keys and values to be shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheScope {
    /// The adapter on top of the model, if any.
    pub adapter: Option<String>,
    /// Whose prompts these are: nobody learns from a fast answer what another tenant asked.
    pub salt: Option<String>,
}

/// What became of a cached block: for routers that send a prompt to where its beginning is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvEvent {
    /// A block can be found from now on.
    Stored {
        /// Its hash.
        hash: BlockHash,
        /// The hash of the block before it; `None` for the first.
        parent: Option<BlockHash>,
        /// The tokens in it.
        tokens: Box<[TokenId]>,
        /// Its scope.
        scope: CacheScope,
    },
    /// A block was given away and can be found no more.
    Removed {
        /// Its hash.
        hash: BlockHash,
    },
}

/// How far a sequence is known to the cache.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    len: usize,
    /// The last block of the chain; `None` at its beginning.
    end: Option<Node>,
    /// Another chain has a block of the same hash: this one cannot be continued.
    is_cut: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    hash: BlockHash,
    /// Never used twice, other than a block's id.
    serial: u64,
}

#[derive(Debug)]
struct Cached {
    node: Node,
    parent: Option<Node>,
    tokens: Box<[TokenId]>,
    scope: CacheScope,
}

#[derive(Debug)]
pub(super) struct PrefixCache {
    block_len: usize,
    model: String,
    by_hash: HashMap<BlockHash, BlockId, BuildHasherDefault<LowBits>>,
    /// What each block of the pool holds.
    cached: Vec<Option<Cached>>,
    next_serial: u64,
    /// XXH3, but where a test wants hashes to collide.
    pub(super) hasher: fn(&[u8]) -> u128,
    pub(super) num_evictions: u64,
    pub(super) events: broadcast::Sender<KvEvent>,
}

impl PrefixCache {
    pub(super) fn new(num_blocks: usize, block_len: usize, model: &str) -> Self {
        Self {
            block_len,
            model: model.to_owned(),
            by_hash: HashMap::default(),
            cached: (0..num_blocks).map(|_| None).collect(),
            next_serial: 0,
            hasher: xxh3_128,
            num_evictions: 0,
            events: broadcast::Sender::new(EVENT_BACKLOG),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_hash.len()
    }

    pub(super) fn holds(&self, block: BlockId) -> bool {
        self.cached[block.0 as usize].is_some()
    }

    /// The longest cached chain of whole blocks that `tokens` begins with.
    pub(super) fn find(&self, tokens: &[TokenId], scope: &CacheScope) -> (Vec<BlockId>, Chain) {
        let mut blocks = Vec::new();
        let mut chain = Chain::default();
        let mut bytes = Vec::new();
        for tokens in tokens.chunks_exact(self.block_len) {
            let hash = self.hash(chain.end, tokens, scope, &mut bytes);
            let Some(&block) = self.by_hash.get(&hash) else {
                break;
            };
            let Some(node) = self.verified(block, chain.end, tokens, scope) else {
                break;
            };
            blocks.push(block);
            chain.len += 1;
            chain.end = Some(node);
        }
        (blocks, chain)
    }

    /// The block's place in the chain after `parent`, if that is where it is.
    fn verified(
        &self,
        block: BlockId,
        parent: Option<Node>,
        tokens: &[TokenId],
        scope: &CacheScope,
    ) -> Option<Node> {
        let cached = self.cached[block.0 as usize].as_ref()?;
        let same = cached.parent == parent && *cached.tokens == *tokens && cached.scope == *scope;
        same.then_some(cached.node)
    }

    /// Continues `chain` through all blocks that `tokens` fill. Where another block holds the same already, that one stays
    /// the one to be found.
    pub(super) fn remember(
        &mut self,
        chain: &mut Chain,
        blocks: &[BlockId],
        tokens: &[TokenId],
        scope: &CacheScope,
    ) {
        let mut bytes = Vec::new();
        let known = chain.len * self.block_len;
        for tokens in tokens
            .get(known..)
            .unwrap_or(&[])
            .chunks_exact(self.block_len)
        {
            if chain.is_cut {
                return;
            }
            let hash = self.hash(chain.end, tokens, scope, &mut bytes);
            let block = blocks[chain.len];
            let node = match self.by_hash.get(&hash) {
                Some(&other) => self.verified(other, chain.end, tokens, scope),
                None => Some(self.store(block, hash, chain.end, tokens, scope)),
            };
            chain.len += 1;
            chain.is_cut = node.is_none();
            chain.end = node;
        }
    }

    fn store(
        &mut self,
        block: BlockId,
        hash: BlockHash,
        parent: Option<Node>,
        tokens: &[TokenId],
        scope: &CacheScope,
    ) -> Node {
        let node = Node {
            hash,
            serial: self.next_serial,
        };
        self.next_serial += 1;
        self.by_hash.insert(hash, block);
        self.cached[block.0 as usize] = Some(Cached {
            node,
            parent,
            tokens: tokens.into(),
            scope: scope.clone(),
        });
        self.tell(|| KvEvent::Stored {
            hash,
            parent: parent.map(|node| node.hash),
            tokens: tokens.into(),
            scope: scope.clone(),
        });
        node
    }

    /// Forgets what a block holds.
    pub(super) fn evict(&mut self, block: BlockId) {
        let Some(cached) = self.cached[block.0 as usize].take() else {
            return;
        };
        let hash = cached.node.hash;
        if let Entry::Occupied(entry) = self.by_hash.entry(hash) {
            entry.remove();
        }
        self.num_evictions += 1;
        self.tell(|| KvEvent::Removed { hash });
    }

    fn tell(&self, event: impl FnOnce() -> KvEvent) {
        if self.events.receiver_count() > 0 {
            // The last receiver may leave in between.
            let _ = self.events.send(event());
        }
    }

    /// Links of a chain hash the link before them; its first link hashes model and scope, each with its length in front.
    fn hash(
        &self,
        parent: Option<Node>,
        tokens: &[TokenId],
        scope: &CacheScope,
        bytes: &mut Vec<u8>,
    ) -> BlockHash {
        bytes.clear();
        match parent {
            Some(node) => bytes.extend(node.hash.0.to_le_bytes()),
            None => {
                let CacheScope { adapter, salt } = scope;
                for name in [Some(&self.model), adapter.as_ref(), salt.as_ref()] {
                    bytes.extend(
                        name.map_or(u64::MAX, |name| name.len() as u64)
                            .to_le_bytes(),
                    );
                    bytes.extend(name.map_or(&[][..], |name| name.as_bytes()));
                }
            }
        }
        bytes.extend(tokens.iter().flat_map(|token| token.to_le_bytes()));
        BlockHash((self.hasher)(bytes))
    }
}

/// The hash of what is a hash already.
#[derive(Debug, Default)]
struct LowBits(u64);

impl Hasher for LowBits {
    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a block's hash writes one u128");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
