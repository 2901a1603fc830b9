//! Why a request is refused, besides wrong types and ranges.

use std::collections::BTreeSet;

use plugin_sdk::{ApiError, ServerInfo, ToolChoice};

use super::{block::Block, options::Thinking, turn::Role, types::MessagesRequest};
use crate::{body::Object, error::unsupported};

/// The fields of a request.
const KNOWN: [&str; 16] = [
    "model",
    "max_tokens",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "stop_sequences",
    "temperature",
    "top_p",
    "top_k",
    "stream",
    "metadata",
    "service_tier",
    "cache_control",
];

/// Fields that Anthropic has and nothing here can honour.
const UNSUPPORTED: [(&str, &str); 8] = [
    ("container", "this server runs no code"),
    (
        "mcp_servers",
        "this server calls no other; offer their tools in `tools`",
    ),
    (
        "context_management",
        "conversations are never shortened; send less",
    ),
    ("inference_geo", "this server is where it is"),
    ("speed", "there is one speed"),
    ("diagnostics", "caches are not diagnosed"),
    ("user_profile_id", "this server knows no users"),
    (
        "fallbacks",
        "another model never answers in place of the one asked for",
    ),
];

/// Refuses fields that ask for what cannot be done, or that nobody knows.
pub(super) fn check_fields(fields: &Object) -> Result<(), ApiError> {
    for (name, why) in UNSUPPORTED {
        if fields.get(name).is_some() {
            return Err(unsupported(name, why));
        }
    }
    fields.only(&KNOWN)
}

/// Refuses what the fields say together.
pub(super) fn check(request: &MessagesRequest, server: &ServerInfo) -> Result<(), ApiError> {
    check_model(&request.model, server)?;
    let Some(last) = request.turns.last() else {
        return Err(ApiError::invalid(
            "messages",
            "`messages` must hold at least one message.",
        ));
    };
    if let Some(i) = request.turns.iter().position(|turn| turn.blocks.is_empty()) {
        let param = format!("messages[{i}].content");
        let message = format!("`{param}` must hold at least one block.");
        return Err(ApiError::invalid(param, message));
    }
    if last.role == Role::Assistant
        && last
            .blocks
            .iter()
            .any(|block| matches!(block, Block::Call(_)))
    {
        let message =
            "`messages` ends with a call; send its result as a `tool_result` of the user.";
        return Err(ApiError::invalid("messages", message));
    }
    check_tools(request)?;
    match request.thinking {
        Some(Thinking::Enabled { budget }) if budget >= request.max_tokens => {
            Err(ApiError::invalid(
                "thinking.budget_tokens",
                format!(
                    "`thinking.budget_tokens` is {budget}; it must be less than `max_tokens`, which is {}.",
                    request.max_tokens
                ),
            ))
        }
        _ => Ok(()),
    }
}

fn check_model(model: &str, server: &ServerInfo) -> Result<(), ApiError> {
    if server.models.iter().any(|card| card.id == model) {
        return Ok(());
    }
    // A body may be megabytes long, and any of it may stand in `model`.
    let asked: String = model.chars().take(100).collect();
    let served: Vec<_> = server
        .models
        .iter()
        .map(|card| format!("`{}`", card.id))
        .collect();
    let message = format!(
        "model: `{asked}` is not served here; available: {}.",
        served.join(", ")
    );
    Err(ApiError::not_found(message).with_param("model"))
}

fn check_tools(request: &MessagesRequest) -> Result<(), ApiError> {
    let tools = &request.tools;
    let mut names = BTreeSet::new();
    if let Some(i) = tools.iter().position(|tool| !names.insert(&tool.name)) {
        let param = format!("tools[{i}].name");
        let message = format!(
            "`{param}` is the name of another tool, too; tools are told apart by their names."
        );
        return Err(ApiError::invalid(param, message));
    }
    match &request.tool_choice {
        Some(ToolChoice::Required | ToolChoice::Named(_))
            if request.sampling.constraint.is_some() =>
        {
            Err(ApiError::invalid(
                "tool_choice",
                "A forced call cannot have a form: leave out `tool_choice` or `output_config.format`.",
            ))
        }
        Some(ToolChoice::Required) if tools.is_empty() => Err(ApiError::invalid(
            "tool_choice",
            "`tool_choice` requires a call, but `tools` offers none.",
        )),
        Some(ToolChoice::Named(name)) if !tools.iter().any(|tool| &tool.name == name) => {
            Err(ApiError::invalid(
                "tool_choice.name",
                "`tool_choice.name` is no tool that `tools` offers.",
            ))
        }
        _ => Ok(()),
    }
}
