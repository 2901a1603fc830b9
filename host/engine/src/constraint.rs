//! Sequences whose text must have a form: JSON, a schema, a grammar. The engine knows nothing of forms. It asks, after each
//! token, which tokens may come next, and it does so on other threads while the model computes: only the sequence itself waits
//! for an answer that is late.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::OnceLock,
};

use crate::{
    runner::TokenId,
    sequence::SeqId,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
        thread,
    },
};

/// A set of tokens of the vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenMask(std::sync::Arc<[u32]>);

impl TokenMask {
    /// Bit `t % 32` of word `t / 32` says whether token `t` is in; tokens beyond the last word are not.
    pub fn from_words(words: impl Into<std::sync::Arc<[u32]>>) -> Self {
        Self(words.into())
    }

    /// Whether the token is in the set.
    pub fn allows(&self, token: TokenId) -> bool {
        let word = self.0.get(token as usize / 32);
        word.is_some_and(|word| word >> (token % 32) & 1 == 1)
    }

    /// The set as [`from_words`](Self::from_words) takes it.
    pub fn words(&self) -> &[u32] {
        &self.0
    }
}

/// A mask that may still be on its way: the constraint is moved on while the row that wants it is computed.
#[derive(Clone, Debug, Default)]
pub struct PendingMask(std::sync::Arc<OnceLock<TokenMask>>);

impl PendingMask {
    /// The mask, if it is there by now.
    pub fn get(&self) -> Option<&TokenMask> {
        self.0.get()
    }

    fn fill(&self, mask: TokenMask) {
        self.0.set(mask).expect("each is filled by one job");
    }
}

impl From<TokenMask> for PendingMask {
    fn from(mask: TokenMask) -> Self {
        let pending = Self::default();
        pending.fill(mask);
        pending
    }
}

/// What a constraint says after a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// One of these must come. Stop tokens among them mean that the text may end here.
    Among(TokenMask),
    /// The text is complete: the sequence ends without a stop token.
    Complete,
}

/// Where one text is in its form.
pub trait Constraint: Send {
    /// What may come first.
    fn start(&mut self) -> Result<Next, String>;

    /// What may come after `token`, which was among those allowed.
    fn advance(&mut self, token: TokenId) -> Result<Next, String>;

    /// The same constraint at the same place, for another sample of the prompt.
    fn fork(&self) -> Box<dyn Constraint>;
}

/// A constraint to move on by one token, or to start.
pub struct Job {
    pub(crate) id: SeqId,
    pub(crate) constraint: Box<dyn Constraint>,
    pub(crate) token: Option<TokenId>,
    /// Where the mask is awaited.
    pub(crate) pending: PendingMask,
}

/// A constraint that was moved on.
pub struct Done {
    pub(crate) id: SeqId,
    pub(crate) constraint: Box<dyn Constraint>,
    pub(crate) next: Result<Next, String>,
}

/// The threads that move constraints on. They end, each with the job that it has in hand, when this is dropped.
pub(crate) struct Workers {
    jobs: Sender<Job>,
}

impl Workers {
    /// Starts `num_threads` threads, which hand each finished job to `done`.
    pub(crate) fn start(num_threads: usize, done: impl Fn(Done) + Clone + Send + 'static) -> Self {
        // A sequence has at most one job under way, so the queue is bounded by the number of sequences.
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..num_threads {
            let (queue, done) = (queue.clone(), done.clone());
            thread::Builder::new()
                .name(format!("constraint-{number}"))
                .spawn(move || work(&queue, done))
                .expect("the system has room for a thread at start");
        }
        Self { jobs }
    }

    pub(crate) fn push(&self, job: Job) {
        let sent = self.jobs.send(job);
        sent.expect("a thread waits for jobs as long as this can send them");
    }
}

fn work(queue: &Mutex<Receiver<Job>>, done: impl Fn(Done)) {
    loop {
        let job = queue.lock().expect("nobody panics while waiting").recv();
        let Ok(mut job) = job else {
            return;
        };
        let next = catch_unwind(AssertUnwindSafe(|| match job.token {
            None => job.constraint.start(),
            Some(token) => job.constraint.advance(token),
        }));
        let next = next.unwrap_or_else(|_| Err("the constraint panicked".into()));
        let mask = match &next {
            Ok(Next::Among(mask)) => Some(mask.clone()),
            Ok(Next::Complete) | Err(_) => None,
        };
        // Before the mask is there, so that whoever reads of a token chosen with it has the constraint, too.
        done(Done {
            id: job.id,
            constraint: job.constraint,
            next,
        });
        mask.into_iter().for_each(|mask| job.pending.fill(mask));
    }
}
