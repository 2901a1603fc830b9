//! What the prompt has opened already: templates of thinking models end in `<think>`, a forced tool call has begun, and a
//! continued message may have begun to think or to answer.

use plugin_sdk::Conversation;

use crate::forced_call;
use crate::marks::{THINK, THINK_END, TOOL_CALL};

/// Where the model begins to write.
pub(crate) enum Opening {
    /// At the start of its turn.
    Nothing,
    /// Inside a `<think>` that the prompt opened.
    Reasoning {
        /// Whether nothing of the reasoning was written yet.
        after_mark: bool,
    },
    /// Inside a `<tool_call>` whose first part the prompt has written.
    ToolCall {
        /// That part.
        begun: String,
    },
    /// In the midst of an answer that the prompt began, where a `<think>` is mere text.
    Answer,
}

/// Only the end of the prompt counts, and of a continued message only its own text: anywhere else the marks may be what a
/// user writes about.
pub(crate) fn of(conversation: &Conversation, prompt: &str) -> Opening {
    if prompt.trim_end().ends_with(THINK) {
        return Opening::Reasoning { after_mark: true };
    }
    if let Some(begun) = forced_call::beginning(conversation) {
        let before = prompt.strip_suffix(&begun).map(str::trim_end);
        if before.is_some_and(|before| before.ends_with(TOOL_CALL)) {
            return Opening::ToolCall { begun };
        }
    }
    if !conversation.continue_final_message {
        return Opening::Nothing;
    }
    let last = conversation.messages.last();
    let begun = last
        .and_then(|message| message.content.as_deref())
        .unwrap_or_default()
        .trim_start();
    match begun.strip_prefix(THINK) {
        Some(reasoning) if !reasoning.contains(THINK_END) => Opening::Reasoning {
            after_mark: reasoning.trim_matches('\n').is_empty(),
        },
        Some(_) => Opening::Answer,
        None if begun.is_empty() => Opening::Nothing,
        None => Opening::Answer,
    }
}
