//! The model that functions ask under test: it says what the case has it say.

use std::{
    mem,
    sync::{Mutex, PoisonError},
};

use futures_util::future::{BoxFuture, FutureExt, ready};
use sandbox::{Generation, Model};

use super::records::{ApiError, Event, InferenceRequest, MODEL, Twin, Usage};

/// Answers every request with the same pieces, or refuses every one.
pub(super) struct MockModel {
    pieces: Vec<String>,
    refusal: Option<ApiError>,
    asked: Mutex<Vec<InferenceRequest>>,
}

impl MockModel {
    pub(super) fn new(pieces: Vec<String>, refusal: Option<ApiError>) -> Self {
        MockModel {
            pieces,
            refusal,
            asked: Mutex::default(),
        }
    }

    /// The requests so far.
    pub(super) fn asked(&self) -> Vec<InferenceRequest> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut asked)
    }
}

impl Model for MockModel {
    fn names(&self) -> Vec<String> {
        vec![MODEL.into()]
    }

    fn generate(
        &self,
        request: sandbox::InferenceRequest,
        _: sandbox::Caller,
    ) -> BoxFuture<'_, Result<Box<dyn Generation>, sandbox::ApiError>> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(InferenceRequest::of(request));
        let answer = match &self.refusal {
            Some(refusal) => Err(refusal.clone().into_host()),
            None => {
                let pieces = self.pieces.iter().map(Event::content);
                let events: Vec<Event> = pieces.chain([Event::stopped()]).collect();
                let answer = Answer {
                    events: events.into_iter(),
                    num_pieces: 0,
                };
                Ok(Box::new(answer) as Box<dyn Generation>)
            }
        };
        ready(answer).boxed()
    }

    /// The same vector for every input.
    fn embed(
        &self,
        request: sandbox::EmbeddingRequest,
        _: sandbox::Caller,
    ) -> BoxFuture<'_, Result<sandbox::Embeddings, sandbox::ApiError>> {
        let answer = match &self.refusal {
            Some(refusal) => Err(refusal.clone().into_host()),
            None => Ok(sandbox::Embeddings {
                vectors: vec![vec![0.5; 4]; request.inputs.len()],
                usage: Usage::default().into_host(),
            }),
        };
        ready(answer).boxed()
    }
}

/// What is left to say; one event at a time.
struct Answer {
    events: std::vec::IntoIter<Event>,
    num_pieces: u32,
}

impl Generation for Answer {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<sandbox::Event>, sandbox::ApiError>> {
        let event = self.events.next();
        self.num_pieces += u32::from(matches!(event, Some(Event::Delta(_))));
        ready(Ok(event.map(Event::into_host).into_iter().collect())).boxed()
    }

    /// A piece is a token.
    fn usage(&self) -> sandbox::Usage {
        Usage {
            prompt_tokens: 3,
            completion_tokens: self.num_pieces,
            ..Usage::default()
        }
        .into_host()
    }
}
