//! Texts that become vectors: by the same queue, in the same steps as those that are continued.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::sync::mpsc;

use super::{EngineHandle, Shared};
use crate::{
    place::Place,
    request::{EmbeddingRequest, GenerationFailed, SubmitError},
    sequence::{SeqId, Sequence},
    step::Message,
    sync::atomic::Ordering,
};

impl EngineHandle {
    /// Hands a text to the engine, to be made a vector of `limits().hidden_len` numbers, which is not scaled to length 1. Never waits.
    pub fn embed(&self, request: EmbeddingRequest) -> Result<Embedding, SubmitError> {
        let shared = &*self.0;
        shared.check_embedding(&request)?;
        let places = Place::take(&shared.taken, 1, shared.max_taken);
        let place = places.and_then(|mut places| places.pop());
        let place = place.ok_or(SubmitError::Overloaded {
            asked: 1,
            limit: shared.max_taken,
        })?;
        let id = SeqId {
            priority: request.priority,
            arrival: shared.arrivals.fetch_add(1, Ordering::Relaxed),
        };
        let (sender, vector) = mpsc::channel(1);
        let sequence = Sequence::embedding(request, sender, place);
        shared
            .messages
            .send(Message::Submit(id, Box::new(sequence), None))
            .map_err(|_| SubmitError::Stopped)?;
        Ok(Embedding { vector })
    }
}

impl Shared {
    fn check_embedding(&self, request: &EmbeddingRequest) -> Result<(), SubmitError> {
        let max_model_len = self.limits.max_sequence_len();
        let input_len = request.tokens.len();
        self.check_tokens(&request.tokens)?;
        if input_len > max_model_len {
            return Err(SubmitError::InputTooLong {
                input_len,
                max_model_len,
            });
        }
        self.check_priority(request.priority)
    }
}

/// A text that the engine makes a vector of: a future of that. Dropping it cancels it, and its blocks are free before the next
/// step is planned.
#[derive(Debug)]
pub struct Embedding {
    vector: mpsc::Receiver<Result<Vec<f32>, GenerationFailed>>,
}

impl Future for Embedding {
    type Output = Result<Vec<f32>, GenerationFailed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(self.vector.poll_recv(context));
        // Without a last word the engine's thread is gone.
        Poll::Ready(outcome.unwrap_or(Err(GenerationFailed::Stopped)))
    }
}
