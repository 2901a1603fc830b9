//! The response object, in each state that its client sees.

use plugin_sdk::{ApiError, FinishReason, ServerInfo, Usage};
use serde::Serialize;

use super::{
    echo::Echo,
    item::{Item, ItemBody},
};

/// What a response is from its beginning to its end.
#[derive(Debug)]
pub(super) struct Envelope {
    id: String,
    created_at: u64,
    model: String,
    echo: Echo,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum State<'a> {
    InProgress,
    Ended(FinishReason, Usage),
    Failed(&'a ApiError),
}

/// The wire form.
#[derive(Serialize)]
pub(super) struct ResponseBody<'a> {
    id: &'a str,
    object: &'static str,
    created_at: u64,
    status: &'static str,
    /// A router is told when a request came, and not what time it is since.
    completed_at: (),
    error: Option<Failure<'a>>,
    incomplete_details: Option<Incomplete>,
    model: &'a str,
    output: Vec<ItemBody<'a>>,
    usage: Option<UsageBody>,
    #[serde(flatten)]
    echo: &'a Echo,
}

#[derive(Serialize)]
struct Failure<'a> {
    code: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct Incomplete {
    reason: &'static str,
}

#[derive(Serialize)]
struct UsageBody {
    input_tokens: u32,
    input_tokens_details: InputTokensDetails,
    output_tokens: u32,
    output_tokens_details: OutputTokensDetails,
    total_tokens: u64,
}

#[derive(Serialize)]
struct InputTokensDetails {
    /// Clients require the key. Nothing is charged for what the cache takes in, so nothing counts it.
    cache_write_tokens: u32,
    cached_tokens: u32,
}

#[derive(Serialize)]
struct OutputTokensDetails {
    reasoning_tokens: u32,
}

impl Envelope {
    pub(super) fn new(server: &ServerInfo, model: &str, echo: Echo) -> Envelope {
        Envelope {
            id: format!("resp_{}", server.request_id),
            created_at: server.now,
            model: model.to_owned(),
            echo,
        }
    }

    /// The response with these items, in this state.
    pub(super) fn body<'a>(&'a self, items: &'a [Item], state: State<'a>) -> ResponseBody<'a> {
        ResponseBody {
            id: &self.id,
            object: "response",
            created_at: self.created_at,
            status: state.name(),
            completed_at: (),
            error: match state {
                State::Failed(error) => Some(error.into()),
                State::InProgress | State::Ended(..) => None,
            },
            incomplete_details: state.incomplete().map(|reason| Incomplete { reason }),
            model: &self.model,
            output: items.iter().map(Item::body).collect(),
            usage: match state {
                State::Ended(_, usage) => Some(usage.into()),
                State::InProgress | State::Failed(_) => None,
            },
            echo: &self.echo,
        }
    }
}

impl State<'_> {
    /// The state in a word, which is also the last of the event's that announces it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            State::InProgress => "in_progress",
            State::Ended(..) if self.incomplete().is_some() => "incomplete",
            State::Ended(..) => "completed",
            State::Failed(_) => "failed",
        }
    }

    /// Why the response ended before its time, if it did.
    fn incomplete(&self) -> Option<&'static str> {
        match self {
            State::Ended(FinishReason::Length, _) => Some("max_output_tokens"),
            State::Ended(FinishReason::ContentFilter, _) => Some("content_filter"),
            State::Ended(FinishReason::Stop | FinishReason::ToolCalls, _)
            | State::InProgress
            | State::Failed(_) => None,
        }
    }
}

impl<'a> From<&'a ApiError> for Failure<'a> {
    /// `code` is one of a closed list, unlike the code of an error object.
    fn from(error: &'a ApiError) -> Self {
        Failure {
            code: match error.status {
                429 => "rate_limit_exceeded",
                400..500 => "invalid_prompt",
                _ => "server_error",
            },
            message: &error.message,
        }
    }
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        UsageBody {
            input_tokens: usage.prompt_tokens,
            input_tokens_details: InputTokensDetails {
                cache_write_tokens: 0,
                cached_tokens: usage.cached_tokens,
            },
            output_tokens: usage.completion_tokens,
            output_tokens_details: OutputTokensDetails {
                reasoning_tokens: usage.reasoning_tokens,
            },
            total_tokens: u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens),
        }
    }
}
