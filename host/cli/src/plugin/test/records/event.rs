//! What happens while the model writes.

use super::{Bytes, record, variant};

record!(
    /// The first piece of a tool call.
    ToolCallStart {
        index: u32,
        name: String,
    }
);

record!(
    /// More of a tool call's arguments.
    ToolCallArguments {
        index: u32,
        text: String,
    }
);

variant!(
    /// A piece of a choice.
    Delta { } {
        Content(String),
        Reasoning(String),
        ToolCallStart(ToolCallStart),
        ToolCallArguments(ToolCallArguments)
    }
);

record!(
    /// Tokens so far.
    #[derive(Copy, Default)]
    #[serde(default)]
    Usage {
        prompt_tokens: u32,
        completion_tokens: u32,
        cached_tokens: u32,
        reasoning_tokens: u32,
    }
);

record!(
    /// A choice grew.
    ChoiceDelta {
        #[serde(default)]
        choice: u32,
        delta: Delta,
        #[serde(default)]
        usage_so_far: Usage,
    }
);

record!(
    /// A token and its probability.
    TokenLogprob {
        id: u32,
        bytes: Bytes,
        logprob: f32,
    }
);

record!(
    /// What was likely at a position.
    PositionLogprobs {
        chosen: TokenLogprob,
        #[serde(default)]
        top: Vec<TokenLogprob>,
    }
);

record!(
    /// How likely the tokens of a choice were.
    ChoiceLogprobs {
        #[serde(default)]
        choice: u32,
        tokens: Vec<PositionLogprobs>,
    }
);

variant!(
    /// Why a choice ended.
    FinishReason { Stop, Length, ToolCalls, ContentFilter } { }
);

record!(
    /// A choice ended.
    ChoiceFinish {
        #[serde(default)]
        choice: u32,
        reason: FinishReason,
    }
);

record!(
    /// A token of a prompt.
    PromptToken {
        id: u32,
        bytes: Bytes,
        #[serde(default)]
        logprob: Option<f32>,
        #[serde(default)]
        top: Vec<TokenLogprob>,
    }
);

record!(
    /// A prompt as the model reads it.
    PromptReport {
        #[serde(default)]
        input: u32,
        text: String,
        tokens: Vec<PromptToken>,
    }
);

record!(
    /// The vector of an input.
    Embedding {
        #[serde(default)]
        input: u32,
        vector: Vec<f32>,
    }
);

variant!(
    /// What a reply is made of.
    Event { } {
        Prompt(PromptReport),
        Embedding(Embedding),
        Logprobs(ChoiceLogprobs),
        Delta(ChoiceDelta),
        Finished(ChoiceFinish)
    }
);

impl Event {
    /// The first choice grew by this text.
    pub(crate) fn content(text: impl Into<String>) -> Event {
        Event::Delta(ChoiceDelta {
            choice: 0,
            delta: Delta::Content(text.into()),
            usage_so_far: Usage::default(),
        })
    }

    /// The first choice ended by itself.
    pub(crate) fn stopped() -> Event {
        Event::Finished(ChoiceFinish {
            choice: 0,
            reason: FinishReason::Stop,
        })
    }
}
