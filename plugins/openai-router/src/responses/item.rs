//! One item of a response's output: reasoning, a message or a call.

use plugin_sdk::PositionLogprobs;
use serde::Serialize;

use crate::logprobs::Entries;

/// An item, as far as it was written.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) status: Status,
    pub(super) kind: Kind,
    /// What was written: the reasoning, the message's text or the call's arguments.
    pub(super) text: String,
    /// Of a message's tokens.
    pub(super) logprobs: Vec<PositionLogprobs>,
}

/// What sort of item it is.
#[derive(Debug)]
pub(super) enum Kind {
    Reasoning,
    Message,
    Call {
        /// The call's number in the answer.
        index: u32,
        call_id: String,
        name: String,
    },
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    InProgress,
    Completed,
    /// The answer ended inside it.
    Incomplete,
}

/// The wire form.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ItemBody<'a> {
    Reasoning {
        id: &'a str,
        status: Status,
        /// Reasoning comes whole, so there is nothing to sum up.
        summary: [(); 0],
        content: Vec<PartBody<'a>>,
    },
    Message {
        id: &'a str,
        status: Status,
        role: &'static str,
        content: Vec<PartBody<'a>>,
    },
    FunctionCall {
        id: &'a str,
        status: Status,
        call_id: &'a str,
        name: &'a str,
        arguments: &'a str,
    },
}

/// The one part of a message's or of reasoning's content.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum PartBody<'a> {
    ReasoningText {
        text: &'a str,
    },
    OutputText {
        text: &'a str,
        annotations: [(); 0],
        logprobs: Entries<'a>,
    },
}

impl Item {
    /// The item as it is.
    pub(super) fn body(&self) -> ItemBody<'_> {
        let content = self.part(&self.text, &self.logprobs);
        self.with(self.status, content, &self.text)
    }

    /// The item as it began.
    pub(super) fn begun(&self) -> ItemBody<'_> {
        self.with(Status::InProgress, None, "")
    }

    /// The item's one part, with this text; a call has none.
    pub(super) fn part<'a>(
        &self,
        text: &'a str,
        logprobs: &'a [PositionLogprobs],
    ) -> Option<PartBody<'a>> {
        match self.kind {
            Kind::Reasoning => Some(PartBody::ReasoningText { text }),
            Kind::Message => Some(PartBody::OutputText {
                text,
                annotations: [],
                logprobs: Entries(logprobs),
            }),
            Kind::Call { .. } => None,
        }
    }

    fn with<'a>(
        &'a self,
        status: Status,
        content: Option<PartBody<'a>>,
        arguments: &'a str,
    ) -> ItemBody<'a> {
        let id = &self.id;
        let content = content.into_iter().collect();
        match &self.kind {
            Kind::Reasoning => ItemBody::Reasoning {
                id,
                status,
                summary: [],
                content,
            },
            Kind::Message => ItemBody::Message {
                id,
                status,
                role: "assistant",
                content,
            },
            Kind::Call { call_id, name, .. } => ItemBody::FunctionCall {
                id,
                status,
                call_id,
                name,
                arguments,
            },
        }
    }
}
