//! What every answer has, whole or streamed.

use plugin_sdk::{ApiError, Event, FinishReason, Header, Reply, ServerInfo, Usage};
use serde::Serialize;

use crate::{stream::StreamedMessage, whole::WholeMessage};

/// Encodes one answer.
pub enum Answer {
    #[doc(hidden)]
    Whole(WholeMessage),
    #[doc(hidden)]
    Streamed(StreamedMessage),
}

impl Answer {
    fn reply(&mut self) -> &mut dyn Reply {
        match self {
            Answer::Whole(whole) => whole,
            Answer::Streamed(stream) => stream,
        }
    }
}

impl Reply for Answer {
    fn headers(&self) -> Vec<Header> {
        match self {
            Answer::Whole(whole) => whole.headers(),
            Answer::Streamed(stream) => stream.headers(),
        }
    }

    fn push(&mut self, events: Vec<Event>) -> Vec<u8> {
        self.reply().push(events)
    }

    fn finish(&mut self, usage: Usage) -> Vec<u8> {
        self.reply().finish(usage)
    }

    fn fail(&mut self, error: ApiError) -> Vec<u8> {
        self.reply().fail(error)
    }
}

/// Whose answer this is.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) request_id: String,
    model: String,
}

impl Identity {
    pub(crate) fn new(server: &ServerInfo, model: &str) -> Identity {
        Identity {
            request_id: server.request_id.clone(),
            model: model.to_owned(),
        }
    }

    /// The message with this content, which ended for this reason: neither is known when a stream begins.
    pub(crate) fn message<C>(
        &self,
        content: Vec<C>,
        end: Option<FinishReason>,
        usage: Usage,
    ) -> MessageBody<'_, C> {
        MessageBody {
            id: format!("msg_{}", self.request_id),
            r#type: "message",
            role: "assistant",
            model: &self.model,
            content,
            end: EndBody::from(end),
            usage: UsageBody::from(usage),
        }
    }
}

/// A message of the assistant.
#[derive(Serialize)]
pub(crate) struct MessageBody<'a, C> {
    id: String,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<C>,
    #[serde(flatten)]
    end: EndBody,
    usage: UsageBody,
}

/// Why a message ended.
#[derive(Serialize)]
pub(crate) struct EndBody {
    stop_reason: Option<&'static str>,
    /// Always null: the contract does not say which stop string was found.
    stop_sequence: (),
}

impl From<Option<FinishReason>> for EndBody {
    fn from(reason: Option<FinishReason>) -> Self {
        let stop_reason = reason.map(|reason| match reason {
            // An end token or a stop string: nobody says which.
            FinishReason::Stop => "end_turn",
            FinishReason::Length => "max_tokens",
            FinishReason::ToolCalls => "tool_use",
            FinishReason::ContentFilter => "refusal",
        });
        EndBody {
            stop_reason,
            stop_sequence: (),
        }
    }
}

/// Tokens counted. Those of the prompt are split: what was found in the cache is not among `input_tokens`.
#[derive(Serialize)]
pub(crate) struct UsageBody {
    input_tokens: u32,
    cache_creation_input_tokens: u32,
    cache_read_input_tokens: u32,
    output_tokens: u32,
    output_tokens_details: OutputDetails,
}

#[derive(Serialize)]
struct OutputDetails {
    thinking_tokens: u32,
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        UsageBody {
            input_tokens: usage.prompt_tokens.saturating_sub(usage.cached_tokens),
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: usage.cached_tokens,
            output_tokens: usage.completion_tokens,
            output_tokens_details: OutputDetails {
                thinking_tokens: usage.reasoning_tokens,
            },
        }
    }
}

/// The rules for the calls of one answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calls {
    answer: u64,
    parallel: bool,
}

impl Calls {
    /// `parallel`: whether the answer may have more than one call.
    pub(crate) fn new(request_id: &str, parallel: bool) -> Calls {
        // FNV-1a, which unlike the standard library's digests is the same in every build.
        let answer = request_id
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        Calls { answer, parallel }
    }

    /// Whether the client wants to hear of call number `index`.
    pub(crate) fn admits(&self, index: u32) -> bool {
        self.parallel || index == 0
    }

    /// The call's id. Only letters, digits and underscores may be in one, so it has a digest of the request's id.
    pub(crate) fn id(&self, index: u32) -> String {
        format!("toolu_{:016x}_{index}", self.answer)
    }
}

/// Where Anthropic's clients look for the request's id.
pub(crate) fn request_id_header(request_id: &str) -> Header {
    Header::new("request-id", request_id)
}

/// A wire type as JSON text.
pub(crate) fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value)
        .expect("wire types are structs of strings and numbers, which always serialise")
}

/// A wire type as the bytes of its JSON text.
pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    json_text(value).into_bytes()
}
