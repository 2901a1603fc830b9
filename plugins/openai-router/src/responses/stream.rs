//! A response sent as it is made.

use plugin_sdk::{ApiError, Event, Header, Reply, Usage};

use super::{
    envelope::{Envelope, State},
    events::{
        ArgumentsEvent, DeltaEvent, ErrorEvent, Events, ItemEvent, PartEvent, Place, ResponseEvent,
        TextEvent,
    },
    item::{Item, Kind},
    output::{Change, Output},
};
use crate::{answer::json, error::ErrorBody, logprobs::Entries, sse};

/// Writes the events of each change. The response's first two go out with the first piece and never before, so that a failure
/// without an answer has its own status. The end is an event of its own, and no `[DONE]` follows it.
pub(super) struct ResponseStream {
    envelope: Envelope,
    output: Output,
    events: Events,
}

impl ResponseStream {
    pub(super) fn new(envelope: Envelope, output: Output) -> ResponseStream {
        ResponseStream {
            envelope,
            output,
            events: Events::default(),
        }
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if self.events.started() {
            return;
        }
        for name in ["response.created", "response.in_progress"] {
            let response = self.envelope.body(&[], State::InProgress);
            self.events.write(out, name, ResponseEvent { response });
        }
    }

    fn write(&mut self, out: &mut Vec<u8>, change: Change) {
        let (Change::Opened(index) | Change::Closed(index) | Change::Grown { item: index, .. }) =
            change;
        let Some(item) = self.output.items().get(index) else {
            return;
        };
        let writer = ItemWriter {
            events: &mut self.events,
            out,
            index,
            item,
        };
        match change {
            Change::Opened(_) => writer.opened(),
            Change::Grown {
                text_from,
                logprobs_from,
                ..
            } => writer.grown(
                &item.text[text_from..],
                Entries(&item.logprobs[logprobs_from..]),
            ),
            Change::Closed(_) => writer.closed(),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>, state: State) {
        let response = self.envelope.body(self.output.items(), state);
        let name = format!("response.{}", state.name());
        self.events.write(out, &name, ResponseEvent { response });
    }
}

impl Reply for ResponseStream {
    fn headers(&self) -> Vec<Header> {
        sse::headers()
    }

    fn push(&mut self, events: Vec<Event>) -> Vec<u8> {
        let mut out = Vec::new();
        for event in events {
            for change in self.output.take(event) {
                self.start(&mut out);
                self.write(&mut out, change);
            }
        }
        out
    }

    fn finish(&mut self, usage: Usage) -> Vec<u8> {
        let mut out = Vec::new();
        self.start(&mut out);
        self.end(&mut out, State::Ended(self.output.finish(), usage));
        out
    }

    fn fail(&mut self, error: ApiError) -> Vec<u8> {
        if !self.events.started() {
            return json(&ErrorBody::from(&error));
        }
        let mut out = Vec::new();
        let event = ErrorEvent {
            code: error.code.as_deref().or(Some(&error.kind)),
            message: &error.message,
            param: error.param.as_deref(),
        };
        self.events.write(&mut out, "error", event);
        self.output.fail();
        self.end(&mut out, State::Failed(&error));
        out
    }
}

/// Writes what happens to one item.
struct ItemWriter<'a> {
    events: &'a mut Events,
    out: &'a mut Vec<u8>,
    index: usize,
    item: &'a Item,
}

impl<'a> ItemWriter<'a> {
    fn opened(self) {
        let (place, output_index) = (self.place(), self.index);
        let item = self.item.begun();
        let event = ItemEvent { output_index, item };
        self.events
            .write(self.out, "response.output_item.added", event);
        if let Some(part) = self.item.part("", &[]) {
            self.events.write(
                self.out,
                "response.content_part.added",
                PartEvent { place, part },
            );
        }
    }

    fn grown(self, delta: &'a str, logprobs: Entries<'a>) {
        let event = DeltaEvent {
            place: self.place(),
            delta,
            logprobs: self.of_message(logprobs),
        };
        let name = match self.item.kind {
            Kind::Reasoning => "response.reasoning_text.delta",
            Kind::Message => "response.output_text.delta",
            Kind::Call { .. } => "response.function_call_arguments.delta",
        };
        self.events.write(self.out, name, event);
    }

    fn closed(self) {
        let (place, output_index) = (self.place(), self.index);
        let Item { text, logprobs, .. } = self.item;
        let whole = TextEvent {
            place,
            text,
            logprobs: self.of_message(Entries(logprobs)),
        };
        match &self.item.kind {
            Kind::Reasoning => {
                self.events
                    .write(self.out, "response.reasoning_text.done", whole);
            }
            Kind::Message => {
                self.events
                    .write(self.out, "response.output_text.done", whole);
            }
            Kind::Call { name, .. } => self.events.write(
                self.out,
                "response.function_call_arguments.done",
                ArgumentsEvent {
                    place,
                    name,
                    arguments: text,
                },
            ),
        }
        if let Some(part) = self.item.part(text, logprobs) {
            self.events.write(
                self.out,
                "response.content_part.done",
                PartEvent { place, part },
            );
        }
        let item = self.item.body();
        let event = ItemEvent { output_index, item };
        self.events
            .write(self.out, "response.output_item.done", event);
    }

    fn place(&self) -> Place<'a> {
        Place {
            item_id: &self.item.id,
            output_index: self.index,
            content_index: match self.item.kind {
                Kind::Reasoning | Kind::Message => Some(0),
                Kind::Call { .. } => None,
            },
        }
    }

    fn of_message(&self, logprobs: Entries<'a>) -> Option<Entries<'a>> {
        matches!(self.item.kind, Kind::Message).then_some(logprobs)
    }
}
