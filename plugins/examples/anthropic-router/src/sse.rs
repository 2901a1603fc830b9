//! Server-sent events, as Anthropic names and fills them.

use plugin_sdk::Header;
use serde::Serialize;

use crate::{
    answer::{EndBody, MessageBody, UsageBody, json, request_id_header},
    blocks::BlockBody,
    error::ErrorBody,
};

/// The data of an event; the event's name is its `type`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Data<'a> {
    MessageStart {
        message: MessageBody<'a, ()>,
    },
    ContentBlockStart {
        index: u32,
        content_block: BlockBody<'a>,
    },
    ContentBlockDelta {
        index: u32,
        delta: Piece<'a>,
    },
    ContentBlockStop {
        index: u32,
    },
    MessageDelta {
        delta: EndBody,
        usage: UsageBody,
    },
    MessageStop,
}

/// A piece of a block.
#[derive(Serialize)]
#[serde(tag = "type")]
pub(crate) enum Piece<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}

/// Writes an event.
pub(crate) fn write(out: &mut Vec<u8>, data: &Data) {
    let name = match data {
        Data::MessageStart { .. } => "message_start",
        Data::ContentBlockStart { .. } => "content_block_start",
        Data::ContentBlockDelta { .. } => "content_block_delta",
        Data::ContentBlockStop { .. } => "content_block_stop",
        Data::MessageDelta { .. } => "message_delta",
        Data::MessageStop => "message_stop",
    };
    write_named(out, name, data);
}

/// The event that ends a stream that failed.
pub(crate) fn failure(error: &ErrorBody) -> Vec<u8> {
    let mut out = Vec::new();
    write_named(&mut out, "error", error);
    out
}

fn write_named(out: &mut Vec<u8>, name: &str, data: &impl Serialize) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend(json(data));
    out.extend_from_slice(b"\n\n");
}

/// The headers of a stream.
pub(crate) fn headers(request_id: &str) -> Vec<Header> {
    vec![
        Header::new("content-type", "text/event-stream"),
        Header::new("cache-control", "no-cache"),
        // Asks proxies of nginx's kind not to collect the stream.
        Header::new("x-accel-buffering", "no"),
        request_id_header(request_id),
    ]
}
