//! An answer sent as it is made.

use plugin_sdk::{ApiError, Delta, Event, FinishReason, Header, Reply, Usage};

use crate::{
    answer::{Calls, EndBody, Identity, UsageBody, json},
    blocks::{BlockBody, Blocks, no_input},
    error::ErrorBody,
    sse::{self, Data, Piece},
};

/// Writes text and thinking at once. A call is written when the answer has ended: only then are its arguments known to be
/// JSON and to be complete, and a client cannot take back what it was sent. What follows a call waits behind it.
pub struct StreamedMessage {
    identity: Identity,
    has_started: bool,
    /// The kind of the block that is open; its index is `num_blocks` less one.
    open: Option<Kind>,
    num_blocks: u32,
    waiting: Blocks,
    end: FinishReason,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Thinking,
    Text,
}

impl StreamedMessage {
    pub(crate) fn new(identity: Identity, calls: Calls) -> StreamedMessage {
        StreamedMessage {
            identity,
            has_started: false,
            open: None,
            num_blocks: 0,
            waiting: Blocks::new(calls),
            end: FinishReason::Stop,
        }
    }

    /// The first event goes out with the first piece and never before: it has the prompt's tokens in it, and until then a
    /// request that fails can still get a status of its own.
    fn start(&mut self, out: &mut Vec<u8>, usage: Usage) {
        if !self.has_started {
            self.has_started = true;
            let message = self.identity.message(Vec::new(), None, usage);
            sse::write(out, &Data::MessageStart { message });
        }
    }

    fn grow(&mut self, out: &mut Vec<u8>, delta: Delta) {
        match &delta {
            Delta::Content(text) | Delta::Reasoning(text) if text.is_empty() => {}
            Delta::Content(text) if self.waiting.is_empty() => {
                self.enter(out, Kind::Text);
                self.write_piece(out, Piece::Text { text });
            }
            Delta::Reasoning(thinking) if self.waiting.is_empty() => {
                self.enter(out, Kind::Thinking);
                self.write_piece(out, Piece::Thinking { thinking });
            }
            _ => self.waiting.grow(delta),
        }
    }

    /// Opens a block of this kind, unless one is open.
    fn enter(&mut self, out: &mut Vec<u8>, kind: Kind) {
        if self.open == Some(kind) {
            return;
        }
        self.close(out);
        self.open = Some(kind);
        self.open_block(
            out,
            match kind {
                Kind::Thinking => BlockBody::thinking(""),
                Kind::Text => BlockBody::Text { text: "" },
            },
        );
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            self.close_block(out);
        }
    }

    fn open_block(&mut self, out: &mut Vec<u8>, content_block: BlockBody) {
        let index = self.num_blocks;
        self.num_blocks += 1;
        sse::write(
            out,
            &Data::ContentBlockStart {
                index,
                content_block,
            },
        );
    }

    fn write_piece(&self, out: &mut Vec<u8>, delta: Piece) {
        sse::write(
            out,
            &Data::ContentBlockDelta {
                index: self.num_blocks - 1,
                delta,
            },
        );
    }

    fn close_block(&self, out: &mut Vec<u8>) {
        sse::write(
            out,
            &Data::ContentBlockStop {
                index: self.num_blocks - 1,
            },
        );
    }

    /// The first call and all that came after it.
    fn write_waiting(&mut self, out: &mut Vec<u8>) {
        let calls = self.waiting.calls();
        let waiting = std::mem::replace(&mut self.waiting, Blocks::new(calls));
        for block in waiting.bodies() {
            match block {
                BlockBody::Text { text } => {
                    self.open_block(out, BlockBody::Text { text: "" });
                    self.write_piece(out, Piece::Text { text });
                }
                BlockBody::Thinking { thinking, .. } => {
                    self.open_block(out, BlockBody::thinking(""));
                    self.write_piece(out, Piece::Thinking { thinking });
                }
                BlockBody::ToolUse { id, name, input } => {
                    self.open_block(
                        out,
                        BlockBody::ToolUse {
                            id,
                            name,
                            input: no_input(),
                        },
                    );
                    self.write_piece(
                        out,
                        Piece::InputJson {
                            partial_json: input.get(),
                        },
                    );
                }
            }
            self.close_block(out);
        }
    }
}

impl Reply for StreamedMessage {
    fn headers(&self) -> Vec<Header> {
        sse::headers(&self.identity.request_id)
    }

    fn push(&mut self, events: Vec<Event>) -> Vec<u8> {
        let mut out = Vec::new();
        for event in events {
            match event {
                Event::Delta(grown) if grown.choice == 0 => {
                    self.start(&mut out, grown.usage_so_far);
                    self.grow(&mut out, grown.delta);
                }
                Event::Finished(end) if end.choice == 0 => self.end = end.reason,
                // One answer was asked for, without log probabilities.
                Event::Delta(_)
                | Event::Finished(_)
                | Event::Logprobs(_)
                | Event::Prompt(_)
                | Event::Embedding(_) => {}
            }
        }
        out
    }

    fn finish(&mut self, usage: Usage) -> Vec<u8> {
        let mut out = Vec::new();
        self.start(&mut out, usage);
        self.close(&mut out);
        self.write_waiting(&mut out);
        let end = Data::MessageDelta {
            delta: EndBody::from(Some(self.end)),
            usage: UsageBody::from(usage),
        };
        sse::write(&mut out, &end);
        sse::write(&mut out, &Data::MessageStop);
        out
    }

    fn fail(&mut self, error: ApiError) -> Vec<u8> {
        let body = ErrorBody::new(&error, &self.identity.request_id);
        match self.has_started {
            true => sse::failure(&body),
            false => json(&body),
        }
    }
}
