//! Why a chat request is refused, besides wrong types and ranges.

use plugin_sdk::{ApiError, Sampling};

use super::types::{ChatMessage, ChatRequest, Content, Part};
use crate::{
    body::Object,
    error::unsupported,
    generation::{Unsupported, refuse},
    tool_choice,
};

const TEXT_ONLY: &str = "this server reads and writes text only";
const USE_TOOLS: &str = "it is the old name of tool calling; use `tools` and `tool_choice`";

/// The fields that chat knows and does not support.
const UNSUPPORTED: &[Unsupported] = &[
    Unsupported::new("audio", &[], TEXT_ONLY),
    Unsupported::new("modalities", &[r#"["text"]"#], TEXT_ONLY),
    Unsupported::new("functions", &["[]"], USE_TOOLS),
    Unsupported::new("function_call", &[r#""auto""#, r#""none""#], USE_TOOLS),
    Unsupported::new("prediction", &[], "answers are not predicted; leave it out"),
    Unsupported::new(
        "web_search_options",
        &[],
        "this server does not search the web; offer a search tool in `tools`",
    ),
    Unsupported::new("moderation", &[], "answers are not moderated; leave it out"),
    Unsupported::new(
        "verbosity",
        &[r#""medium""#],
        "say in the prompt how long the answer should be",
    ),
    Unsupported::new(
        "echo",
        &["false"],
        "the prompt is not repeated; leave it out",
    ),
    Unsupported::new(
        "chat_template",
        &[],
        "the template is the operator's; use `chat_template_kwargs` for its variables",
    ),
    Unsupported::new("documents", &["[]"], "put the documents into the messages"),
    Unsupported::new(
        "add_special_tokens",
        &["false"],
        "the template writes all special tokens",
    ),
    Unsupported::new(
        "include_reasoning",
        &["true"],
        "reasoning is always sent apart from the answer; skip it on your side",
    ),
];

/// Refuses fields that ask for what chat cannot do.
pub(super) fn check_support(fields: &Object) -> Result<(), ApiError> {
    refuse(fields, UNSUPPORTED)
}

/// Refuses what the fields say together.
pub(super) fn check(chat: &ChatRequest, sampling: &Sampling) -> Result<(), ApiError> {
    check_conversation(chat)?;
    let (choice, form) = (chat.tool_choice.as_ref(), sampling.constraint.as_ref());
    tool_choice::check_form(choice, form, "response_format")?;
    if sampling.max_tokens == Some(0) {
        return Err(ApiError::invalid(
            "max_tokens",
            "`max_tokens` must be at least 1.",
        ));
    }
    if chat.top_logprobs.is_some_and(|count| count > 0) && !chat.logprobs {
        return Err(ApiError::invalid(
            "top_logprobs",
            "`top_logprobs` is only allowed with `logprobs`: true.",
        ));
    }
    Ok(())
}

/// Refuses a conversation that no template could render.
pub(super) fn check_conversation(chat: &ChatRequest) -> Result<(), ApiError> {
    if chat.messages.is_empty() {
        return Err(ApiError::invalid(
            "messages",
            "`messages` must hold at least one message.",
        ));
    }
    for (i, message) in chat.messages.iter().enumerate() {
        check_message(message, &format!("messages[{i}]"))?;
    }
    check_tools(chat)?;
    check_continuation(chat)
}

fn check_message(message: &ChatMessage, path: &str) -> Result<(), ApiError> {
    let missing = |name| {
        Err(ApiError::invalid(
            format!("{path}.{name}"),
            format!("`{path}.{name}` is missing."),
        ))
    };
    match message.role.as_str() {
        "assistant" => {}
        "tool" if message.tool_call_id.is_none() => return missing("tool_call_id"),
        "system" | "developer" | "user" | "tool" if message.content.is_none() => {
            return missing("content");
        }
        "system" | "developer" | "user" | "tool" => {}
        _ => {
            let param = format!("{path}.role");
            let roles = "`system`, `developer`, `user`, `assistant` or `tool`";
            let message = format!("`{param}` must be {roles}.");
            return Err(ApiError::invalid(param, message));
        }
    }
    if let Some(name) = message.unsupported {
        let instead = if name == "audio" {
            TEXT_ONLY
        } else {
            USE_TOOLS
        };
        return Err(unsupported(&format!("{path}.{name}"), instead));
    }
    let Some(Content::Parts(parts)) = &message.content else {
        return Ok(());
    };
    for (j, part) in parts.iter().enumerate() {
        if let Part::Other = part {
            return Err(unsupported(
                &format!("{path}.content[{j}]"),
                "this server reads only parts of type `text`",
            ));
        }
    }
    Ok(())
}

fn check_tools(chat: &ChatRequest) -> Result<(), ApiError> {
    for (i, tool) in chat.tools.iter().enumerate() {
        if tool.kind != "function" {
            return Err(unsupported(
                &format!("tools[{i}].type"),
                "only tools of type `function` can be called",
            ));
        }
        match &tool.name {
            None => {
                let param = format!("tools[{i}].function");
                let message = format!("`{param}` is missing.");
                return Err(ApiError::invalid(param, message));
            }
            Some(name) if name.is_empty() => {
                let param = format!("tools[{i}].function.name");
                let message = format!("`{param}` must not be empty.");
                return Err(ApiError::invalid(param, message));
            }
            Some(_) => {}
        }
    }
    let offered = chat.tools.iter().filter_map(|tool| tool.name.as_deref());
    tool_choice::check(chat.tool_choice.as_ref(), offered)
}

fn check_continuation(chat: &ChatRequest) -> Result<(), ApiError> {
    if !chat.continue_final_message {
        return Ok(());
    }
    let refusal = |message: &str| Err(ApiError::invalid("continue_final_message", message));
    if chat.add_generation_prompt == Some(true) {
        return refusal("`continue_final_message` and `add_generation_prompt` exclude each other.");
    }
    if chat
        .messages
        .last()
        .is_some_and(|last| last.role != "assistant")
    {
        return refusal("`continue_final_message` needs a last message of role `assistant`.");
    }
    Ok(())
}
