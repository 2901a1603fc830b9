//! The standard library's channel as loom can explore it. Loom's own neither explores a `try_recv` that comes a moment too
//! early nor ends a `recv` when the last sender is gone.

use std::{
    collections::VecDeque,
    sync::mpsc::{RecvError, SendError, TryRecvError},
};

use loom::sync::{Arc, Condvar, Mutex, MutexGuard};

pub(crate) struct Sender<T>(Arc<Shared<T>>);

pub(crate) struct Receiver<T>(Arc<Shared<T>>);

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    changed: Condvar,
}

struct Queue<T> {
    messages: VecDeque<T>,
    num_senders: usize,
    has_receiver: bool,
}

pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let queue = Queue {
        messages: VecDeque::new(),
        num_senders: 1,
        has_receiver: true,
    };
    let shared = Arc::new(Shared {
        queue: Mutex::new(queue),
        changed: Condvar::new(),
    });
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().expect("nobody panics with the lock")
    }
}

impl<T> Sender<T> {
    pub(crate) fn send(&self, message: T) -> Result<(), SendError<T>> {
        let mut queue = self.0.lock();
        if !queue.has_receiver {
            return Err(SendError(message));
        }
        queue.messages.push_back(message);
        self.0.changed.notify_one();
        Ok(())
    }
}

impl<T> Receiver<T> {
    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut queue = self.0.lock();
        match queue.messages.pop_front() {
            Some(message) => Ok(message),
            None if queue.num_senders == 0 => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    pub(crate) fn recv(&self) -> Result<T, RecvError> {
        let mut queue = self.0.lock();
        loop {
            if let Some(message) = queue.messages.pop_front() {
                return Ok(message);
            }
            if queue.num_senders == 0 {
                return Err(RecvError);
            }
            let woken = self.0.changed.wait(queue);
            queue = woken.expect("nobody panics with the lock");
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().num_senders += 1;
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.lock().num_senders -= 1;
        self.0.changed.notify_one();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.has_receiver = false;
        let unread = std::mem::take(&mut queue.messages);
        drop(queue);
        // What a message holds may come here again when it is dropped.
        drop(unread);
    }
}
