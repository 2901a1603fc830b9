//! Completions sent as they are made.

use plugin_sdk::{ApiError, Event, Header, Reply, Usage};
use serde::Serialize;

use super::{
    choice::{finish_reason, text},
    logprobs::{Logprobs, Offsets},
};
use crate::{
    answer::Identity,
    generation::StreamOptions,
    logprobs::Unsent,
    settings::Finish,
    sse::{self, Chunks},
};

/// Writes a chunk for each event.
pub(super) struct CompletionStream {
    chunks: Chunks,
    finish: Finish,
    logprobs: Unsent,
    offsets: Offsets,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    text: &'a str,
    logprobs: Option<Logprobs<'a>>,
    finish_reason: Option<&'static str>,
}

impl CompletionStream {
    pub(super) fn new(
        identity: &Identity,
        options: StreamOptions,
        finish: Finish,
    ) -> CompletionStream {
        CompletionStream {
            chunks: Chunks::new(identity, options),
            finish,
            logprobs: Unsent::default(),
            offsets: Offsets::default(),
        }
    }
}

impl Reply for CompletionStream {
    fn headers(&self) -> Vec<Header> {
        sse::headers()
    }

    fn push(&mut self, events: Vec<Event>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut events = events.into_iter();
        while let Some(event) = events.next() {
            let (index, delta, reason) = match event {
                Event::Logprobs(more) => {
                    self.logprobs.add(more);
                    continue;
                }
                Event::Delta(grown) => {
                    self.chunks.count(grown.usage_so_far);
                    let reason = sse::merged_finish(
                        self.finish,
                        grown.choice,
                        &mut events,
                        &mut self.logprobs,
                    );
                    (grown.choice, Some(grown.delta), reason)
                }
                Event::Finished(end) => (end.choice, None, Some(end.reason)),
            };
            let text = delta.as_ref().map_or("", text);
            let logprobs = self.logprobs.take(index);
            let finish_reason = reason.map(finish_reason);
            self.chunks.write(
                &mut out,
                &ChunkChoice {
                    index,
                    text,
                    logprobs: Logprobs::of(&logprobs, self.offsets.of(index)),
                    finish_reason,
                },
            );
        }
        out
    }

    fn finish(&mut self, usage: Usage) -> Vec<u8> {
        self.chunks.finish(usage)
    }

    fn fail(&mut self, error: ApiError) -> Vec<u8> {
        self.chunks.fail(&error)
    }
}
