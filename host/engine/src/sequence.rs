//! One request inside the engine.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::mpsc;

use crate::{
    block::BlockTable,
    request::{Event, FinishReason, Request},
    runner::TokenId,
};

/// A place among the requests that the engine has taken on; given back on drop.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Place {
    /// Takes a place if fewer than `limit` are taken.
    pub fn take(taken: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
                (n < limit).then_some(n + 1)
            })
            .ok()
            .map(|_| Self(taken.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A sequence of tokens: those known (prompt and answer so far) and how many of them are in the cache. Prefill, chunked
/// prefill, decode and resuming after preemption are all "close the gap between the two".
#[derive(Debug)]
pub struct Sequence {
    /// What was asked for. Its prompt has moved to `tokens`.
    request: Request,
    tokens: Vec<TokenId>,
    prompt_len: usize,
    /// Tokens whose keys and values are in `blocks`.
    pub computed_len: usize,
    /// The cache blocks that this sequence owns.
    pub blocks: BlockTable,
    events: mpsc::Sender<Event>,
    _place: Place,
}

impl Sequence {
    /// A sequence that has computed nothing yet.
    pub fn new(mut request: Request, events: mpsc::Sender<Event>, place: Place) -> Self {
        let tokens = std::mem::take(&mut request.prompt);
        let prompt_len = tokens.len();
        Self {
            request,
            tokens,
            prompt_len,
            computed_len: 0,
            blocks: BlockTable::default(),
            events,
            _place: place,
        }
    }

    /// Prompt and answer so far.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// Tokens known but not yet in the cache; at least 1.
    pub fn gap_len(&self) -> usize {
        self.tokens.len() - self.computed_len
    }

    /// How its tokens are chosen.
    pub fn sampling(&self) -> &crate::SamplingParams {
        &self.request.sampling
    }

    /// Whether nobody waits for its tokens any more.
    pub fn is_cancelled(&self) -> bool {
        self.events.is_closed()
    }

    /// Reports an event. The channel holds as many as the request can ever have, and a client that left is no error.
    pub fn report(&self, event: Event) {
        let _ = self.events.try_send(event);
    }

    /// Takes the token that was chosen, reports it, and says whether the sequence goes on.
    pub fn commit(&mut self, token: TokenId, max_model_len: usize) -> Progress {
        if self.request.stop_token_ids.contains(&token) {
            self.report(Event::Finished {
                reason: FinishReason::Stop,
                stop_token: Some(token),
            });
            return Progress::Ended;
        }
        self.tokens.push(token);
        self.report(Event::Token(token));
        if self.tokens.len() - self.prompt_len >= self.request.max_tokens
            || self.tokens.len() >= max_model_len
        {
            self.report(Event::Finished {
                reason: FinishReason::Length,
                stop_token: None,
            });
            return Progress::Ended;
        }
        Progress::Running
    }
}

/// Whether a sequence has more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has.
    Running,
    /// Its last event was reported.
    Ended,
}
