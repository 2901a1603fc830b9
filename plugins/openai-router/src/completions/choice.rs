//! What a choice is in completions: text and a reason.

use plugin_sdk::{Delta, FinishReason};

/// The piece's text. A prompt without turns has no template, hence no parser that could find calls in the answer.
pub(super) fn text(delta: &Delta) -> &str {
    match delta {
        Delta::Content(text) | Delta::Reasoning(text) => text,
        Delta::ToolCallStart(_) | Delta::ToolCallArguments(_) => "",
    }
}

/// The finish reason; completions have none for calls.
pub(super) fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::ToolCalls => "stop",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
    }
}
