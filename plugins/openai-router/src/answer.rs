//! What every generated answer has, whatever its endpoint and form.

use plugin_sdk::{ApiError, Event, FinishReason, Header, Reply, ServerInfo, Usage};
use serde::Serialize;
use serde_json::value::RawValue;

/// Encodes one answer: of any endpoint, whole or streamed.
pub struct Answer {
    reply: Box<dyn Reply>,
    names: Vec<(&'static str, &'static str)>,
}

impl Answer {
    /// `names`: what the contract calls a field, and what the client calls it where that differs.
    pub(crate) fn new(
        reply: impl Reply,
        names: impl Into<Vec<(&'static str, &'static str)>>,
    ) -> Answer {
        Answer {
            reply: Box::new(reply),
            names: names.into(),
        }
    }
}

impl Reply for Answer {
    fn headers(&self) -> Vec<Header> {
        self.reply.headers()
    }

    fn push(&mut self, events: Vec<Event>) -> Vec<u8> {
        self.reply.push(events)
    }

    fn finish(&mut self, usage: Usage) -> Vec<u8> {
        self.reply.finish(usage)
    }

    fn fail(&mut self, mut error: ApiError) -> Vec<u8> {
        // The host knows fields by the contract's names for them, not by the client's.
        let param = error.param.as_deref();
        if let Some((_, name)) = self.names.iter().find(|(name, _)| Some(*name) == param) {
            error.param = Some((*name).to_owned());
        }
        self.reply.fail(error)
    }
}

/// The first keys of a body and of every chunk: the same throughout one answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Identity {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
}

impl Identity {
    /// `prefix` tells the endpoints' ids apart: `chatcmpl` or `cmpl`.
    pub(crate) fn new(
        prefix: &str,
        object: &'static str,
        server: &ServerInfo,
        model: &str,
    ) -> Identity {
        Identity {
            id: format!("{prefix}-{}", server.request_id),
            object,
            created: server.now,
            model: model.to_owned(),
        }
    }
}

/// A whole body.
#[derive(Serialize)]
pub(crate) struct Body<'a, C> {
    #[serde(flatten)]
    pub(crate) identity: &'a Identity,
    pub(crate) choices: Vec<C>,
    pub(crate) usage: UsageBody,
}

/// Tokens counted, in OpenAI's shape.
#[derive(Serialize)]
pub(crate) struct UsageBody {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u64,
    prompt_tokens_details: PromptTokensDetails,
    completion_tokens_details: CompletionTokensDetails,
}

#[derive(Serialize)]
struct PromptTokensDetails {
    cached_tokens: u32,
}

#[derive(Serialize)]
struct CompletionTokensDetails {
    reasoning_tokens: u32,
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        UsageBody {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens),
            prompt_tokens_details: PromptTokensDetails {
                cached_tokens: usage.cached_tokens,
            },
            completion_tokens_details: CompletionTokensDetails {
                reasoning_tokens: usage.reasoning_tokens,
            },
        }
    }
}

/// A finish reason as the client reads it.
pub(crate) fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
    }
}

/// The headers of an answer that is not streamed.
pub(crate) fn json_headers() -> Vec<Header> {
    vec![Header::new("content-type", "application/json")]
}

/// A wire type as the bytes of its JSON.
pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect(SERIALISES)
}

/// A wire type as a JSON text that can stand in another one.
pub(crate) fn json_text(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect(SERIALISES)
}

const SERIALISES: &str = "wire types are structs of strings and numbers, which always serialise";
