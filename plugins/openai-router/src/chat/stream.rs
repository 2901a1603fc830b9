//! A chat answer sent as it is made.

use std::collections::BTreeSet;

use plugin_sdk::{ApiError, Delta, Event, Header, Reply, Usage};
use serde::Serialize;

use super::logprobs::Logprobs;
use crate::{
    answer::{Identity, finish_reason},
    calls::Calls,
    generation::StreamOptions,
    logprobs::Unsent,
    settings::Finish,
    sse::{self, Chunks},
};

/// Writes a chunk for each event. A choice's first chunk names the role; it goes out with the first piece and never before,
/// so that a client that waits for the first chunk waits for the first token.
pub(super) struct ChatStream {
    chunks: Chunks,
    finish: Finish,
    calls: Calls,
    /// The choices whose role has been named.
    opened: BTreeSet<u32>,
    logprobs: Unsent,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: ChunkDelta<'a>,
    logprobs: Option<Logprobs<'a>>,
    finish_reason: Option<&'static str>,
}

/// Keys that say nothing are left out: an empty name or id, sent twice, is appended to the first by some clients.
#[derive(Default, Serialize)]
struct ChunkDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    /// Under both of the names that clients read.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallChunk<'a>; 1]>,
}

#[derive(Serialize)]
struct CallChunk<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    function: FunctionChunk<'a>,
}

#[derive(Serialize)]
struct FunctionChunk<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

impl ChatStream {
    pub(super) fn new(
        identity: &Identity,
        options: StreamOptions,
        finish: Finish,
        calls: Calls,
    ) -> ChatStream {
        ChatStream {
            chunks: Chunks::new(identity, options),
            finish,
            calls,
            opened: BTreeSet::new(),
            logprobs: Unsent::default(),
        }
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        index: u32,
        delta: ChunkDelta,
        finish_reason: Option<&'static str>,
    ) {
        if self.opened.insert(index) {
            let role = ChunkDelta {
                role: Some("assistant"),
                content: Some(""),
                ..ChunkDelta::default()
            };
            self.chunks.write(
                out,
                &ChunkChoice {
                    index,
                    delta: role,
                    logprobs: None,
                    finish_reason: None,
                },
            );
        }
        let logprobs = self.logprobs.take(index);
        self.chunks.write(
            out,
            &ChunkChoice {
                index,
                delta,
                logprobs: Logprobs::of(&logprobs),
                finish_reason,
            },
        );
    }

    /// The piece in the client's terms; nothing if it is of a call that the client does not want.
    fn piece<'a>(&self, choice: u32, delta: &'a Delta) -> Option<ChunkDelta<'a>> {
        let call = |call| ChunkDelta {
            tool_calls: Some([call]),
            ..ChunkDelta::default()
        };
        match delta {
            Delta::Content(text) => Some(ChunkDelta {
                content: Some(text),
                ..ChunkDelta::default()
            }),
            Delta::Reasoning(text) => Some(ChunkDelta {
                reasoning_content: Some(text),
                reasoning: Some(text),
                ..ChunkDelta::default()
            }),
            Delta::ToolCallStart(start) => self.calls.admits(start.index).then(|| {
                call(CallChunk {
                    index: start.index,
                    id: Some(self.calls.id(choice, start.index)),
                    r#type: Some("function"),
                    function: FunctionChunk {
                        name: Some(&start.name),
                        arguments: "",
                    },
                })
            }),
            Delta::ToolCallArguments(more) => self.calls.admits(more.index).then(|| {
                let function = FunctionChunk {
                    name: None,
                    arguments: &more.text,
                };
                call(CallChunk {
                    index: more.index,
                    id: None,
                    r#type: None,
                    function,
                })
            }),
        }
    }
}

impl Reply for ChatStream {
    fn headers(&self) -> Vec<Header> {
        sse::headers()
    }

    fn push(&mut self, events: Vec<Event>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut events = events.into_iter();
        while let Some(event) = events.next() {
            match event {
                Event::Logprobs(more) => self.logprobs.add(more),
                // Not asked for.
                Event::Prompt(_) | Event::Embedding(_) => {}
                Event::Delta(grown) => {
                    self.chunks.count(grown.usage_so_far);
                    let Some(delta) = self.piece(grown.choice, &grown.delta) else {
                        continue;
                    };
                    let reason = sse::merged_finish(
                        self.finish,
                        grown.choice,
                        &mut events,
                        &mut self.logprobs,
                    );
                    self.write(&mut out, grown.choice, delta, reason.map(finish_reason));
                }
                Event::Finished(end) => {
                    self.write(
                        &mut out,
                        end.choice,
                        ChunkDelta::default(),
                        Some(finish_reason(end.reason)),
                    );
                }
            }
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
