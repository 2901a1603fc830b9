//! Server-sent events: what the streams of chat and completions share, and the headers of all.

use std::vec;

use plugin_sdk::{ApiError, Event, FinishReason, Header, Usage};
use serde::Serialize;

use crate::{
    answer::{Identity, UsageBody, json},
    error::ErrorBody,
    generation::StreamOptions,
    logprobs::Unsent,
    settings::Finish,
};

/// Frames the chunks of one stream: their constant head, the usage that they carry, and how the stream ends.
pub(crate) struct Chunks {
    /// `data: {"id":…,"choices":[`, made once.
    head: Vec<u8>,
    options: StreamOptions,
    /// The latest count; unknown until the first token.
    usage: Option<Usage>,
    started: bool,
}

impl Chunks {
    pub(crate) fn new(identity: &Identity, options: StreamOptions) -> Chunks {
        let mut head = b"data: ".to_vec();
        head.extend(json(identity));
        head.pop();
        head.extend(br#","choices":["#);
        Chunks {
            head,
            options,
            usage: None,
            started: false,
        }
    }

    /// Takes note of the usage so far.
    pub(crate) fn count(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    /// Writes a chunk with this one choice.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, choice: &impl Serialize) {
        self.started = true;
        out.extend_from_slice(&self.head);
        out.extend(json(choice));
        out.push(b']');
        if self.options.continuous_usage {
            write_usage(out, self.usage);
        } else if self.options.include_usage {
            write_usage(out, None);
        }
        out.extend_from_slice(b"}\n\n");
    }

    /// The end of a stream that went well.
    pub(crate) fn finish(&mut self, usage: Usage) -> Vec<u8> {
        let mut out = Vec::new();
        if self.options.include_usage {
            out.extend_from_slice(&self.head);
            out.push(b']');
            write_usage(&mut out, Some(usage));
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(DONE);
        out
    }

    /// The end of a stream that failed. A bare close would pass for success with several clients.
    pub(crate) fn fail(&mut self, error: &ApiError) -> Vec<u8> {
        let body = json(&ErrorBody::from(error));
        if !self.started {
            return body;
        }
        [b"data: ", body.as_slice(), b"\n\n", DONE].concat()
    }
}

const DONE: &[u8] = b"data: [DONE]\n\n";

fn write_usage(out: &mut Vec<u8>, usage: Option<Usage>) {
    out.extend_from_slice(br#","usage":"#);
    out.extend(json(&usage.map(UsageBody::from)));
}

/// The headers of a stream. The last one asks proxies of nginx's kind not to collect it.
pub(crate) fn headers() -> Vec<Header> {
    vec![
        Header::new("content-type", "text/event-stream"),
        Header::new("cache-control", "no-cache"),
        Header::new("x-accel-buffering", "no"),
    ]
}

/// Takes the end of `choice` off the queue, if it comes next and is to ride on the chunk being written. Before it may stand
/// the log probabilities of tokens that have no text, such as an end token: they ride along.
pub(crate) fn merged_finish(
    finish: Finish,
    choice: u32,
    events: &mut vec::IntoIter<Event>,
    logprobs: &mut Unsent,
) -> Option<FinishReason> {
    let is_own = |event: &&Event| matches!(event, Event::Logprobs(more) if more.choice == choice);
    let before = events.as_slice().iter().take_while(is_own).count();
    let reason = match (finish, events.as_slice().get(before)) {
        (Finish::Merged, Some(&Event::Finished(end))) if end.choice == choice => end.reason,
        _ => return None,
    };
    for event in events.take(before + 1) {
        if let Event::Logprobs(more) = event {
            logprobs.add(more);
        }
    }
    Some(reason)
}
