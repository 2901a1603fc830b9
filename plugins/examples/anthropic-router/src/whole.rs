//! An answer sent as one body.

use plugin_sdk::{ApiError, Event, FinishReason, Header, Reply, Usage};

use crate::{
    answer::{Calls, Identity, json, request_id_header},
    blocks::Blocks,
    error::ErrorBody,
};

/// Collects the answer until it has ended.
pub struct WholeMessage {
    identity: Identity,
    blocks: Blocks,
    end: FinishReason,
}

impl WholeMessage {
    pub(crate) fn new(identity: Identity, calls: Calls) -> WholeMessage {
        WholeMessage {
            identity,
            blocks: Blocks::new(calls),
            end: FinishReason::Stop,
        }
    }
}

impl Reply for WholeMessage {
    fn headers(&self) -> Vec<Header> {
        vec![
            Header::new("content-type", "application/json"),
            request_id_header(&self.identity.request_id),
        ]
    }

    fn push(&mut self, events: Vec<Event>) -> Vec<u8> {
        for event in events {
            match event {
                Event::Delta(grown) if grown.choice == 0 => self.blocks.grow(grown.delta),
                Event::Finished(end) if end.choice == 0 => self.end = end.reason,
                // One answer was asked for, without log probabilities.
                Event::Delta(_)
                | Event::Finished(_)
                | Event::Logprobs(_)
                | Event::Prompt(_)
                | Event::Embedding(_) => {}
            }
        }
        Vec::new()
    }

    fn finish(&mut self, usage: Usage) -> Vec<u8> {
        json(
            &self
                .identity
                .message(self.blocks.bodies(), Some(self.end), usage),
        )
    }

    fn fail(&mut self, error: ApiError) -> Vec<u8> {
        json(&ErrorBody::new(&error, &self.identity.request_id))
    }
}
