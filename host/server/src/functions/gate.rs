//! How many requests a function works on, and how many wait for their turn.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use deploy::Version;
use sandbox::ApiError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::overloaded;

/// What holds where a deployment says nothing.
const MAX_CONCURRENCY: u32 = 64;
const MAX_QUEUE: u32 = 256;

/// Longest that a request waits for its turn.
const QUEUE_DEADLINE: Duration = Duration::from_secs(30);

/// How much a gate lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    running: u32,
    queued: u32,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            running: MAX_CONCURRENCY,
            queued: MAX_QUEUE,
        }
    }
}

impl Size {
    pub(super) fn of(version: &Version) -> Self {
        Self {
            running: version.max_concurrency.map_or(MAX_CONCURRENCY, u32::from),
            queued: version.max_queue.unwrap_or(MAX_QUEUE),
        }
    }
}

/// Lets requests to one function in, first come, first served.
pub(super) struct Gate {
    size: Size,
    places: Arc<Semaphore>,
    queued: AtomicUsize,
}

impl Gate {
    pub(super) fn new(size: Size) -> Self {
        Self {
            size,
            places: Arc::new(Semaphore::new(size.running as usize)),
            queued: AtomicUsize::new(0),
        }
    }

    pub(super) fn size(&self) -> Size {
        self.size
    }

    pub(super) fn num_running(&self) -> usize {
        (self.size.running as usize).saturating_sub(self.places.available_permits())
    }

    pub(super) fn num_queued(&self) -> usize {
        self.queued.load(Relaxed)
    }

    /// Waits for a place, which is free again when what is returned is dropped. Refused where too many wait, or after too long.
    pub(super) async fn enter(&self, function: &str) -> Result<OwnedSemaphorePermit, ApiError> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let Some(_waiting) = Waiting::begin(&self.queued, self.size.queued as usize) else {
            return Err(overloaded(format!(
                "function `{function}` works on {} requests and {} wait: try again later",
                self.size.running, self.size.queued
            )));
        };
        let place = tokio::time::timeout(QUEUE_DEADLINE, self.places.clone().acquire_owned()).await;
        match place {
            Ok(place) => Ok(place.expect("nobody closes it")),
            Err(_) => Err(overloaded(format!(
                "function `{function}` was busy for {QUEUE_DEADLINE:?}: try again later"
            ))),
        }
    }
}

/// Somebody in the queue, who leaves it by being dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(queued: &'a AtomicUsize, max: usize) -> Option<Self> {
        let more = |now| (now < max).then_some(now + 1);
        queued.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Self(queued))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn who_finds_the_queue_full_is_told_to_come_back_and_the_rest_get_in_in_turn() {
        let gate = Gate::new(Size {
            running: 1,
            queued: 1,
        });
        let first = gate.enter("f").await.unwrap();
        let mut second = Box::pin(gate.enter("f"));
        let mut context = Context::from_waker(Waker::noop());
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert_eq!((gate.num_running(), gate.num_queued()), (1, 1));
        let refused = gate.enter("f").await.unwrap_err();
        assert_eq!(refused.status, 429);
        assert!(refused.retry_after_ms.is_some());
        drop(first);
        let second = second.await.unwrap();
        assert_eq!((gate.num_running(), gate.num_queued()), (1, 0));
        drop(second);
        assert_eq!(gate.num_running(), 0);
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_the_queue() {
        let gate = Gate::new(Size {
            running: 1,
            queued: 1,
        });
        let _first = gate.enter("f").await.unwrap();
        let mut second = Box::pin(gate.enter("f"));
        let mut context = Context::from_waker(Waker::noop());
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(second);
        assert_eq!(gate.num_queued(), 0);
    }
}
