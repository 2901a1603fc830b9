//! A `tool_choice` that leaves the model no choice: the prompt begins the call, and the parser goes on from there.

use plugin_sdk::{ApiError, Conversation, ToolChoice};

use crate::marks::{THINK, THINK_END, TOOL_CALL};

const PARAM: &str = "tool_choice";

/// The call's first part, as the prompt ends in it after `<tool_call>` and a newline; none where the model decides.
///
/// It breaks off where the model's own tokens do: before a name, and before the space that tokenizers put to a brace.
pub(crate) fn beginning(conversation: &Conversation) -> Option<String> {
    match &conversation.tool_choice {
        ToolChoice::Auto | ToolChoice::None => None,
        ToolChoice::Required => Some(r#"{"name": ""#.to_owned()),
        ToolChoice::Named(name) => {
            let name = serde_json::Value::from(name.as_str());
            Some(format!(r#"{{"name": {name}, "arguments":"#))
        }
    }
}

/// The prompt with the beginning of the call that the conversation asks for.
pub(crate) fn begin(
    mut prompt: String,
    conversation: &Conversation,
    template: &str,
) -> Result<String, ApiError> {
    let Some(beginning) = beginning(conversation) else {
        return Ok(prompt);
    };
    if conversation.continue_final_message {
        return Err(ApiError::invalid(
            PARAM,
            "a message that is continued cannot be made a tool call: set tool_choice to \"auto\"",
        ));
    }
    if !conversation.add_generation_prompt {
        return Ok(prompt);
    }
    if !template.contains(TOOL_CALL) {
        return Err(ApiError::invalid(
            PARAM,
            "this model writes tool calls in a form that cannot be forced: set tool_choice to \"auto\"",
        ));
    }
    let begun = prompt.trim_end();
    if begun.ends_with(THINK) {
        prompt.truncate(begun.len());
        prompt.push_str(&format!("\n\n{THINK_END}\n\n"));
    }
    prompt.push_str(&format!("{TOOL_CALL}\n{beginning}"));
    Ok(prompt)
}
