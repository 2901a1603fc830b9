//! A response sent as one body.

use plugin_sdk::{ApiError, Event, Header, Reply, Usage};

use super::{
    envelope::{Envelope, State},
    output::Output,
};
use crate::{
    answer::{json, json_headers},
    error::ErrorBody,
};

/// Collects the items until the answer has ended.
pub(super) struct WholeResponse {
    envelope: Envelope,
    output: Output,
}

impl WholeResponse {
    pub(super) fn new(envelope: Envelope, output: Output) -> WholeResponse {
        WholeResponse { envelope, output }
    }
}

impl Reply for WholeResponse {
    fn headers(&self) -> Vec<Header> {
        json_headers()
    }

    fn push(&mut self, events: Vec<Event>) -> Vec<u8> {
        for event in events {
            self.output.take(event);
        }
        Vec::new()
    }

    fn finish(&mut self, usage: Usage) -> Vec<u8> {
        let state = State::Ended(self.output.finish(), usage);
        json(&self.envelope.body(self.output.items(), state))
    }

    fn fail(&mut self, error: ApiError) -> Vec<u8> {
        json(&ErrorBody::from(&error))
    }
}
