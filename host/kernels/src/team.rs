//! A small team of threads for loops of some ten microseconds.
//!
//! A decode step is about 150 parallel loops of 5 to 100 µs. So the helpers spin for a moment between loops and only then
//! sleep, and the caller never waits for a helper that has not begun: if all are asleep or the machine is busy, it does the
//! whole loop itself.
#![allow(
    unsafe_code,
    reason = "a loop body borrowed from the caller's stack is lent to threads that outlive it"
)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How often a helper looks for a new loop before it sleeps: about 100 µs.
const SPINS_BEFORE_SLEEP: u32 = 3_000;
/// How often the caller looks whether the helpers are done before it offers its core to others.
const SPINS_BEFORE_YIELD: u32 = 2_000;

/// Set in `Shared::state` while helpers may join the loop; the bits below count the helpers inside, those above the loops.
const OPEN: u64 = 1 << 16;
const INSIDE: u64 = OPEN - 1;
const LOOP: u64 = OPEN << 1;

/// Threads that run a loop together.
pub struct Team {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// Held while a loop runs: there is room for one.
    caller: Mutex<()>,
}

struct Shared {
    state: AtomicU64,
    job: AtomicPtr<Job<'static>>,
    stop: AtomicBool,
    num_asleep: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
}

struct Job<'a> {
    body: &'a (dyn Fn(usize) + Sync),
    count: usize,
    next: AtomicUsize,
    panicked: AtomicBool,
}

impl Job<'_> {
    fn work(&self) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.count {
                return;
            }
            (self.body)(index);
        }
    }
}

impl Team {
    /// A team of `num_threads`, the caller's thread among them; 0 counts as 1. Fewer if the system refuses a thread.
    pub fn new(num_threads: usize) -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: AtomicPtr::new(std::ptr::null_mut()),
            stop: AtomicBool::new(false),
            num_asleep: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
        });
        let helpers = (1..num_threads.min(INSIDE as usize))
            .map_while(|index| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("kernels-{index}"))
                    .spawn(move || shared.help())
                    .ok()
            })
            .collect();
        Self {
            shared,
            helpers,
            caller: Mutex::new(()),
        }
    }

    /// How many threads run a loop, the caller's among them.
    pub fn num_threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Calls `body` once with each index below `count`, on any of the threads, and returns when all are done.
    /// A loop started inside a loop, or while another thread's runs, is done by its caller alone. Panics if `body` does.
    pub fn for_each(&self, count: usize, body: impl Fn(usize) + Sync) {
        let alone = if self.helpers.is_empty() || count < 2 {
            None
        } else {
            self.caller.try_lock().ok()
        };
        if alone.is_none() {
            (0..count).for_each(body);
            return;
        }
        let job = Job {
            body: &body,
            count,
            next: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
        };
        let outcome = {
            let _open = self.shared.open(&job);
            catch_unwind(AssertUnwindSafe(|| job.work()))
        };
        drop(alone);
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
        assert!(
            !job.panicked.load(Ordering::Relaxed),
            "a helper thread panicked in a parallel loop"
        );
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(self.shared.lock_sleep());
        self.shared.wake.notify_all();
        for helper in self.helpers.drain(..) {
            // A helper catches the panics of loop bodies, so it has none of its own to report.
            let _ = helper.join();
        }
    }
}

/// A loop that helpers may join; closed, and left by all of them, on drop.
struct OpenLoop<'a>(&'a Shared);

impl Drop for OpenLoop<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0;
        while state & INSIDE != 0 {
            if spins < SPINS_BEFORE_YIELD {
                spins += 1;
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
            state = self.0.state.load(Ordering::Acquire);
        }
    }
}

impl Shared {
    fn lock_sleep(&self) -> MutexGuard<'_, ()> {
        self.sleep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends `job` to the helpers until the guard is dropped. Only the holder of `Team::caller` calls this.
    fn open(&self, job: &Job<'_>) -> OpenLoop<'_> {
        self.job
            .store(std::ptr::from_ref(job).cast_mut().cast(), Ordering::Relaxed);
        let before = self.state.load(Ordering::Relaxed) & !(OPEN | INSIDE);
        self.state
            .store(before.wrapping_add(LOOP) | OPEN, Ordering::SeqCst);
        let guard = OpenLoop(self);
        if self.num_asleep.load(Ordering::SeqCst) > 0 {
            drop(self.lock_sleep());
            self.wake.notify_all();
        }
        guard
    }

    /// A helper's life: join each loop that opens, until told to stop.
    fn help(&self) {
        let mut last_joined = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let state = self.wait_for_loop(last_joined);
            if state & OPEN == 0
                || self
                    .state
                    .compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed)
                    .is_err()
            {
                continue;
            }
            last_joined = state & !(OPEN | INSIDE);
            // SAFETY: the job was published before the loop was opened. The exchange found the loop open and counted us inside,
            // and `OpenLoop::drop`, which runs before `for_each` lets go of the job and its body, waits until we have left.
            let job = unsafe { &*self.job.load(Ordering::Relaxed) };
            if catch_unwind(AssertUnwindSafe(|| job.work())).is_err() {
                job.panicked.store(true, Ordering::Relaxed);
            }
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// Returns a state with a loop open that was not joined yet, or any state once told to stop.
    fn wait_for_loop(&self, last_joined: u64) -> u64 {
        let is_new = |state: u64| state & OPEN != 0 && state & !(OPEN | INSIDE) != last_joined;
        for _ in 0..SPINS_BEFORE_SLEEP {
            let state = self.state.load(Ordering::Acquire);
            if is_new(state) {
                return state;
            }
            std::hint::spin_loop();
        }
        let mut asleep = self.lock_sleep();
        self.num_asleep.fetch_add(1, Ordering::SeqCst);
        let state = loop {
            let state = self.state.load(Ordering::SeqCst);
            if is_new(state) || self.stop.load(Ordering::SeqCst) {
                break state;
            }
            asleep = self
                .wake
                .wait(asleep)
                .unwrap_or_else(PoisonError::into_inner);
        };
        self.num_asleep.fetch_sub(1, Ordering::SeqCst);
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_is_visited_once() {
        let team = Team::new(3);
        for count in [0, 1, 2, 7, 1000] {
            for _ in 0..200 {
                let visits: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                team.for_each(count, |index| {
                    visits[index].fetch_add(1, Ordering::Relaxed);
                });
                assert!(
                    visits
                        .iter()
                        .all(|visit| visit.load(Ordering::Relaxed) == 1)
                );
            }
        }
    }

    #[test]
    fn a_loop_inside_a_loop_completes() {
        let team = Team::new(2);
        let total = AtomicUsize::new(0);
        team.for_each(10, |_| {
            team.for_each(10, |_| {
                total.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(total.into_inner(), 100);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_lives_on() {
        let team = Team::new(2);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            team.for_each(64, |index| assert!(index != 40))
        }));
        assert!(outcome.is_err());
        let total = AtomicUsize::new(0);
        team.for_each(64, |_| {
            total.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(total.into_inner(), 64);
    }
}
