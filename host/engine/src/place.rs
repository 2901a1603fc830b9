//! How many sequences the engine has taken on.

use crate::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A place among the sequences that the engine has taken on; given back on drop.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Place {
    /// Takes `num` places if afterwards no more than `limit` are taken, otherwise none.
    pub fn take(taken: &Arc<AtomicUsize>, num: usize, limit: usize) -> Option<Vec<Self>> {
        let fits = |taken: usize| taken.checked_add(num).filter(|&sum| sum <= limit);
        taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, fits)
            .ok()?;
        Some((0..num).map(|_| Self(taken.clone())).collect())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
