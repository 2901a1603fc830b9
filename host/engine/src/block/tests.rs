use super::*;

const SCOPE: CacheScope = CacheScope {
    adapter: None,
    salt: None,
};

fn plain(num_blocks: usize, block_len: usize) -> BlockPool {
    BlockPool::new(num_blocks, block_len, Caching::Off, "m")
}

fn caching(num_blocks: usize) -> BlockPool {
    BlockPool::new(num_blocks, 2, Caching::On, "m")
}

/// Computes `tokens` as a sequence would, and gives its table back in hand.
fn compute(pool: &mut BlockPool, tokens: &[TokenId], scope: &CacheScope) -> BlockTable {
    let prefix = pool.find(tokens, scope);
    let mut table = pool
        .admit(prefix, tokens.len(), tokens.len())
        .expect("there is room");
    pool.remember(&mut table, tokens, scope);
    table
}

fn found(pool: &BlockPool, tokens: &[TokenId]) -> usize {
    pool.find(tokens, &SCOPE).num_blocks()
}

#[test]
fn a_table_grows_by_whole_blocks_and_only_when_needed() {
    let mut pool = plain(4, 16);
    let mut table = BlockTable::default();
    assert!(pool.grow(&mut table, 1));
    assert!(pool.grow(&mut table, 16));
    assert_eq!(table.as_slice(), [BlockId(0)]);
    assert!(pool.grow(&mut table, 17));
    assert_eq!(table.as_slice(), [BlockId(0), BlockId(1)]);
    assert_eq!(pool.num_free(), 2);
}

#[test]
fn a_growth_or_an_admission_that_does_not_fit_takes_nothing() {
    let mut pool = plain(2, 16);
    let mut table = BlockTable::default();
    assert!(!pool.grow(&mut table, 33));
    assert!(pool.admit(Prefix::default(), 1, 33).is_none());
    assert_eq!((pool.num_free(), table.as_slice().len()), (2, 0));
}

#[test]
fn released_blocks_are_free_again_once_their_last_user_is_gone() {
    let mut pool = plain(3, 1);
    let mut first = pool.admit(Prefix::default(), 2, 2).unwrap();
    let shared = pool.share(&first, 1);
    let mut second = pool.admit(shared, 2, 2).unwrap();
    assert_eq!(pool.num_free(), 0);
    pool.check([&first, &second].into_iter()).unwrap();
    pool.release(&mut first);
    assert_eq!(pool.num_free(), 1);
    pool.release(&mut second);
    assert_eq!(pool.num_free(), 3);
    pool.check([].into_iter()).unwrap();
}

#[test]
fn a_prompt_finds_the_whole_blocks_of_an_earlier_one_but_never_its_last_token() {
    let mut pool = caching(8);
    let mut table = compute(&mut pool, &[1, 2, 3, 4, 5], &SCOPE);
    assert_eq!(found(&pool, &[1, 2, 3, 4, 5]), 2);
    assert_eq!(found(&pool, &[1, 2, 3, 4]), 1);
    assert_eq!(found(&pool, &[1, 2, 9, 9, 9]), 1);
    assert_eq!(found(&pool, &[9, 2, 3, 4, 5]), 0);
    pool.release(&mut table);
    assert_eq!(
        found(&pool, &[1, 2, 3, 4, 5]),
        2,
        "free blocks keep what they hold"
    );
    assert_eq!(pool.num_free(), 8);
}

#[test]
fn a_free_block_that_is_found_is_not_given_away() {
    let mut pool = caching(2);
    let mut table = compute(&mut pool, &[1, 2, 3], &SCOPE);
    pool.release(&mut table);
    let prefix = pool.find(&[1, 2, 3], &SCOPE);
    let again = pool.admit(prefix, 3, 3).unwrap();
    assert_eq!(pool.num_free(), 0);
    assert_eq!(pool.num_evictions(), 0);
    pool.check([&again].into_iter()).unwrap();
}

#[test]
fn an_admission_counts_the_free_blocks_that_it_revives() {
    let mut pool = caching(3);
    let mut table = compute(&mut pool, &[1, 2, 3, 4], &SCOPE);
    pool.release(&mut table);
    let prefix = pool.find(&[1, 2, 3, 4, 5], &SCOPE);
    assert_eq!(prefix.num_blocks(), 2);
    assert!(pool.admit(prefix, 5, 8).is_none());
    let prefix = pool.find(&[1, 2, 3, 4, 5], &SCOPE);
    assert!(pool.admit(prefix, 5, 6).is_some());
}

#[test]
fn the_end_of_an_old_sequence_is_given_away_before_its_beginning_and_empty_blocks_before_both() {
    let mut pool = caching(4);
    let mut table = compute(&mut pool, &[1, 2, 3, 4, 5], &SCOPE);
    pool.release(&mut table);
    let mut other = compute(&mut pool, &[7, 7, 8, 8], &SCOPE);
    assert_eq!(pool.num_evictions(), 0, "two blocks held nothing");
    pool.release(&mut other);
    let _third = compute(&mut pool, &[9], &SCOPE);
    assert_eq!(found(&pool, &[1, 2, 3, 4, 5]), 1);
    assert_eq!(found(&pool, &[7, 7, 8, 8, 8]), 2);
    assert_eq!((pool.num_evictions(), pool.num_cached()), (1, 3));
}

#[test]
fn scopes_share_nothing() {
    let mut pool = caching(8);
    let of = |salt: &str| CacheScope {
        salt: Some(salt.into()),
        ..SCOPE
    };
    let _table = compute(&mut pool, &[1, 2, 3], &of("a"));
    assert_eq!(pool.find(&[1, 2, 3], &of("a")).num_blocks(), 1);
    assert_eq!(pool.find(&[1, 2, 3], &of("b")).num_blocks(), 0);
    assert_eq!(pool.find(&[1, 2, 3], &SCOPE).num_blocks(), 0);
    let adapted = CacheScope {
        adapter: Some("a".into()),
        salt: None,
    };
    assert_eq!(pool.find(&[1, 2, 3], &adapted).num_blocks(), 0);
}

#[test]
fn the_same_block_after_different_ones_and_in_different_scopes_is_kept_for_each() {
    let mut pool = caching(8);
    let salted = CacheScope {
        salt: Some("a".into()),
        ..SCOPE
    };
    let _tables = [
        compute(&mut pool, &[1, 2, 3, 4], &SCOPE),
        compute(&mut pool, &[5, 6, 3, 4], &SCOPE),
        compute(&mut pool, &[1, 2, 3, 4], &salted),
    ];
    assert_eq!(found(&pool, &[1, 2, 3, 4, 9]), 2);
    assert_eq!(found(&pool, &[5, 6, 3, 4, 9]), 2);
    assert_eq!(pool.find(&[1, 2, 3, 4, 9], &salted).num_blocks(), 2);
}

/// A pool in which the hashes of blocks with the same first token collide.
fn colliding(num_blocks: usize) -> BlockPool {
    let mut pool = caching(num_blocks);
    let cache = pool.cache.as_mut().unwrap();
    cache.hasher = |bytes| bytes[bytes.len() - 8].into();
    pool
}

#[test]
fn blocks_whose_hashes_collide_are_not_taken_for_each_other() {
    let mut pool = colliding(8);
    let mut table = compute(&mut pool, &[1, 2, 1, 2], &SCOPE);
    assert_eq!(found(&pool, &[1, 2, 9]), 1);
    assert_eq!(found(&pool, &[1, 3, 9]), 0, "other tokens");
    assert_eq!(found(&pool, &[1, 2, 1, 2, 9]), 1, "another predecessor");
    let salted = CacheScope {
        salt: Some("a".into()),
        ..SCOPE
    };
    assert_eq!(pool.find(&[1, 2, 9], &salted).num_blocks(), 0);
    pool.release(&mut table);
    assert_eq!((pool.num_free(), pool.num_cached()), (8, 1));
}

#[test]
fn what_comes_after_a_block_that_could_not_be_kept_is_not_taken_for_a_beginning() {
    let mut pool = colliding(8);
    let _first = compute(&mut pool, &[1, 2], &SCOPE);
    let _cut = compute(&mut pool, &[1, 3, 5, 6], &SCOPE);
    assert_eq!(found(&pool, &[5, 6, 9]), 0);
    assert_eq!(pool.num_cached(), 1);
}

#[test]
fn a_block_is_not_found_behind_another_that_took_the_place_of_its_predecessor() {
    let mut pool = colliding(5);
    let mut first = compute(&mut pool, &[1, 2], &SCOPE);
    // Finds nothing, as its first block is its whole prompt, and goes on behind the block of the first.
    let mut second = pool.admit(Prefix::default(), 4, 4).unwrap();
    pool.remember(&mut second, &[1, 2, 5, 6], &SCOPE);
    assert_eq!(found(&pool, &[1, 2, 5, 6, 9]), 2);
    pool.release(&mut first);
    let _other = compute(&mut pool, &[1, 3, 8, 8, 7], &SCOPE);
    assert_eq!(pool.num_evictions(), 1);
    assert_eq!(found(&pool, &[1, 3, 9]), 1);
    assert_eq!(found(&pool, &[1, 3, 5, 6, 9]), 1);
}

#[test]
fn two_that_compute_the_same_at_once_leave_one_to_be_found() {
    let mut pool = caching(8);
    let first = pool.find(&[1, 2, 3], &SCOPE);
    let second = pool.find(&[1, 2, 3], &SCOPE);
    let mut first = pool.admit(first, 3, 3).unwrap();
    let mut second = pool.admit(second, 3, 3).unwrap();
    pool.remember(&mut first, &[1, 2, 3, 4], &SCOPE);
    pool.remember(&mut second, &[1, 2, 3, 4], &SCOPE);
    assert_eq!(pool.num_cached(), 2);
    pool.release(&mut first);
    pool.release(&mut second);
    assert_eq!((pool.num_free(), pool.num_cached()), (8, 2));
}

#[test]
fn every_block_stored_or_removed_is_told() {
    let mut pool = caching(1);
    let mut events = pool.event_sender().unwrap().subscribe();
    let mut table = compute(&mut pool, &[1, 2], &SCOPE);
    pool.release(&mut table);
    let _other = compute(&mut pool, &[3], &SCOPE);
    let KvEvent::Stored { hash, parent, .. } = events.try_recv().unwrap() else {
        panic!("a block was stored first");
    };
    assert_eq!(parent, None);
    assert_eq!(events.try_recv().unwrap(), KvEvent::Removed { hash });
    assert!(events.try_recv().is_err());
}

#[test]
fn books_that_do_not_add_up_are_noticed() {
    let mut pool = plain(2, 1);
    let table = pool.admit(Prefix::default(), 1, 1).unwrap();
    let broken = pool.check([].into_iter()).unwrap_err();
    assert_eq!(
        (broken.block, broken.counted, broken.noted),
        (table.as_slice()[0], 0, 1)
    );
}
