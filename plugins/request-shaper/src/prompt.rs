use plugin_sdk::{ApiError, Conversation, Input, Message};

use crate::Policy;

/// Refuses a prompt with more characters than the operator allows.
pub(crate) fn check_length(policy: &Policy, input: &Input) -> Result<(), ApiError> {
    let Some(max) = policy.max_prompt_chars else {
        return Ok(());
    };
    let (len, param) = match input {
        Input::Chat(conversation) => (num_chars(conversation), "messages"),
        Input::Text(text) => (text.chars().count(), "prompt"),
        Input::Tokens(_) => return Ok(()),
    };
    if len <= max {
        return Ok(());
    }
    let message = format!(
        "the prompt has {len} characters, and this server takes at most {max}; shorten `{param}`"
    );
    Err(ApiError::invalid(param, message).with_code("context_length_exceeded"))
}

/// All that a template would write out: a client could else hide its text in a tool's definition.
fn num_chars(conversation: &Conversation) -> usize {
    let tools = conversation
        .tools
        .iter()
        .map(|tool| tool.definition.as_str());
    let variables = conversation.template_variables.as_deref();
    let turns = conversation.messages.iter().flat_map(|message| {
        let calls = message
            .tool_calls
            .iter()
            .flat_map(|call| [call.name.as_str(), call.arguments.as_str()]);
        [
            message.content.as_deref(),
            message.reasoning.as_deref(),
            message.name.as_deref(),
        ]
        .into_iter()
        .flatten()
        .chain(calls)
    });
    turns
        .chain(tools)
        .chain(variables)
        .map(|text| text.chars().count())
        .sum()
}

/// Puts the required system prompt at the beginning, if it is not there yet.
pub(crate) fn require_system_prompt(policy: &Policy, input: &mut Input) {
    let (Some(required), Input::Chat(conversation)) = (&policy.required_system_prompt, input)
    else {
        return;
    };
    // One system message and not two: many templates know only the first message in that role.
    match conversation.messages.first_mut() {
        Some(first) if matches!(first.role.as_str(), "system" | "developer") => {
            let own = first.content.take().unwrap_or_default();
            first.content = Some(match own.as_str() {
                own if own.starts_with(required.as_str()) => own.to_owned(),
                "" => required.clone(),
                own => format!("{required}\n\n{own}"),
            });
        }
        _ => conversation
            .messages
            .insert(0, Message::new("system", required)),
    }
}
