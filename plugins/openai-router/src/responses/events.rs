//! The events of a response's stream, as bytes.

use serde::Serialize;

use super::{
    envelope::ResponseBody,
    item::{ItemBody, PartBody},
};
use crate::{answer::json, logprobs::Entries};

/// Numbers the events, from 0.
#[derive(Default)]
pub(super) struct Events {
    num_sent: u64,
}

#[derive(Serialize)]
struct Frame<'a, B> {
    r#type: &'a str,
    sequence_number: u64,
    #[serde(flatten)]
    body: B,
}

impl Events {
    /// Whether the stream has begun.
    pub(super) fn started(&self) -> bool {
        self.num_sent > 0
    }

    /// Writes an event of this type. Its name stands twice: for those who read events, and for those who read their data.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, name: &str, body: impl Serialize) {
        let frame = Frame {
            r#type: name,
            sequence_number: self.num_sent,
            body,
        };
        self.num_sent += 1;
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        // Line breaks end an event's data. They can only come from what a client wrote between the members that are repeated
        // to it, where any blank will do: inside of strings JSON has them escaped.
        out.extend(json(&frame).into_iter().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            _ => byte,
        }));
        out.extend_from_slice(b"\n\n");
    }
}

/// The response entered another state.
#[derive(Serialize)]
pub(super) struct ResponseEvent<'a> {
    pub(super) response: ResponseBody<'a>,
}

/// An item began or ended.
#[derive(Serialize)]
pub(super) struct ItemEvent<'a> {
    pub(super) output_index: usize,
    pub(super) item: ItemBody<'a>,
}

/// Where a piece belongs: to an item, and to its one part, where the item has parts.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Place<'a> {
    pub(super) item_id: &'a str,
    pub(super) output_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_index: Option<usize>,
}

/// A part began or ended.
#[derive(Serialize)]
pub(super) struct PartEvent<'a> {
    #[serde(flatten)]
    pub(super) place: Place<'a>,
    pub(super) part: PartBody<'a>,
}

/// More text.
#[derive(Serialize)]
pub(super) struct DeltaEvent<'a> {
    #[serde(flatten)]
    pub(super) place: Place<'a>,
    pub(super) delta: &'a str,
    /// Of a message's text alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<Entries<'a>>,
}

/// The whole of a text.
#[derive(Serialize)]
pub(super) struct TextEvent<'a> {
    #[serde(flatten)]
    pub(super) place: Place<'a>,
    pub(super) text: &'a str,
    /// Of a message's text alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<Entries<'a>>,
}

/// The whole of a call's arguments.
#[derive(Serialize)]
pub(super) struct ArgumentsEvent<'a> {
    #[serde(flatten)]
    pub(super) place: Place<'a>,
    pub(super) name: &'a str,
    pub(super) arguments: &'a str,
}

/// The response failed.
#[derive(Serialize)]
pub(super) struct ErrorEvent<'a> {
    pub(super) code: Option<&'a str>,
    pub(super) message: &'a str,
    pub(super) param: Option<&'a str>,
}
