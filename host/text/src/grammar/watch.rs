use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use llguidance::CancellationHandle;

/// What a step in a text may take. Real forms need a thousandth of it, so that no load of the machine comes near.
///
/// The library's own limits count what it writes down, which it may search through many times over.
const STEP_LIMIT: Duration = Duration::from_secs(1);

const INTERVAL: Duration = Duration::from_millis(100);

/// Ends steps that take too long, on a thread that ends with this.
pub(super) struct Watch {
    works: Sender<Weak<Work>>,
}

/// The steps in one text.
pub(super) struct Work {
    handle: CancellationHandle,
    /// When the step under way began.
    began: Mutex<Option<Instant>>,
}

impl Watch {
    /// Fails where the system has no room for the thread.
    pub(super) fn start() -> io::Result<Self> {
        let (works, added) = channel();
        thread::Builder::new()
            .name("grammar-watch".to_owned())
            .spawn(move || watch(&added))?;
        Ok(Self { works })
    }

    /// Steps that are taken within the result can be ended by `handle`.
    pub(super) fn add(&self, handle: CancellationHandle) -> Arc<Work> {
        let work = Arc::new(Work {
            handle,
            began: Mutex::new(None),
        });
        let sent = self.works.send(Arc::downgrade(&work));
        sent.expect("the thread watches as long as this can send");
        work
    }
}

impl Work {
    pub(super) fn step<T>(&self, step: impl FnOnce() -> T) -> T {
        self.set_began(Some(Instant::now()));
        let result = step();
        self.set_began(None);
        result
    }

    fn set_began(&self, began: Option<Instant>) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = began;
    }

    fn end_if_late(&self) {
        let began = *self.began.lock().unwrap_or_else(PoisonError::into_inner);
        if began.is_some_and(|began| began.elapsed() > STEP_LIMIT) {
            self.handle.cancel();
        }
    }
}

fn watch(added: &Receiver<Weak<Work>>) {
    let mut works: Vec<Weak<Work>> = Vec::new();
    loop {
        let next = if works.is_empty() {
            added.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            added.recv_timeout(INTERVAL)
        };
        match next {
            Ok(work) => works.push(work),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        works.extend(added.try_iter());
        works.retain(|work| {
            let work = work.upgrade();
            work.inspect(|work| work.end_if_late()).is_some()
        });
    }
}
