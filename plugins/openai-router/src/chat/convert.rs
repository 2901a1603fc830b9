//! From a checked chat request to the engine's terms.

use plugin_sdk::{Conversation, InferenceRequest, Input, Message, Tool, ToolChoice};

use super::types::{ChatMessage, ChatRequest, ChatTool, Content, Part};
use crate::generation::Generation;

/// The request for the engine.
pub(super) fn request(chat: ChatRequest, mut generation: Generation) -> InferenceRequest {
    generation.sampling.logprobs = chat.logprobs.then(|| chat.top_logprobs.unwrap_or(0));
    generation.into_request(vec![Input::Chat(conversation(chat))])
}

/// The conversation, for its template.
pub(super) fn conversation(chat: ChatRequest) -> Conversation {
    let default_choice = if chat.tools.is_empty() {
        ToolChoice::None
    } else {
        ToolChoice::Auto
    };
    Conversation {
        template_variables: chat.variables.json(),
        messages: chat.messages.into_iter().map(message).collect(),
        tools: chat.tools.into_iter().map(tool).collect(),
        tool_choice: chat.tool_choice.unwrap_or(default_choice),
        add_generation_prompt: chat
            .add_generation_prompt
            .unwrap_or(!chat.continue_final_message),
        parallel_tool_calls: chat.parallel_tool_calls,
        continue_final_message: chat.continue_final_message,
    }
}

fn message(message: ChatMessage) -> Message {
    let content = message.content.map(text).or(message.refusal);
    Message {
        // A turn with neither text nor calls said nothing, and templates would print its absence.
        content: content.or_else(|| message.tool_calls.is_empty().then(String::new)),
        role: message.role,
        reasoning: message.reasoning,
        name: message.name,
        tool_calls: message.tool_calls,
        tool_call_id: message.tool_call_id,
    }
}

/// Parts become lines of one text: run together, the end of a document and the question after it would be one word.
fn text(content: Content) -> String {
    match content {
        Content::Text(text) => text,
        Content::Parts(parts) => {
            let texts = parts.into_iter().filter_map(|part| match part {
                Part::Text(text) => Some(text),
                Part::Other => None,
            });
            texts.collect::<Vec<_>>().join("\n")
        }
    }
}

fn tool(tool: ChatTool) -> Tool {
    Tool {
        name: tool.name.unwrap_or_default(),
        definition: tool.definition.get().to_owned(),
    }
}
