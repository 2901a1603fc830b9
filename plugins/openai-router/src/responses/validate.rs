//! Why a request for a response is refused, besides wrong types and ranges.

use plugin_sdk::{ApiError, Sampling};

use super::{
    input::Item,
    tools::Choice,
    types::{ResponsesRequest, Truncation},
};
use crate::{
    body::Object,
    error::unsupported,
    generation::{Unsupported, refuse},
    tool_choice,
};

const STATELESS: &str = "nothing is stored here; send the whole conversation in `input`";

/// The fields that are known and not supported: the Responses API's own, then chat's names for what has another name here.
const UNSUPPORTED: &[Unsupported] = &[
    Unsupported::new("previous_response_id", &[], STATELESS),
    Unsupported::new("conversation", &[], STATELESS),
    Unsupported::new(
        "prompt",
        &[],
        "no prompts are stored here; use `instructions` and `input`",
    ),
    Unsupported::new(
        "background",
        &["false"],
        "answers are made while the client waits; use `stream`",
    ),
    Unsupported::new(
        "max_tool_calls",
        &[],
        "it limits calls of built-in tools, and there are none here",
    ),
    Unsupported::new(
        "context_management",
        &["[]"],
        "conversations are not shortened; send a shorter one",
    ),
    Unsupported::new("moderation", &[], "answers are not moderated; leave it out"),
    Unsupported::new("messages", &[], "it is chat's; use `input`"),
    Unsupported::new("max_tokens", &[], "use `max_output_tokens`"),
    Unsupported::new("max_completion_tokens", &[], "use `max_output_tokens`"),
    Unsupported::new("response_format", &[], "it is chat's; use `text.format`"),
    Unsupported::new(
        "reasoning_effort",
        &[],
        "it is chat's; use `reasoning.effort`",
    ),
    Unsupported::new(
        "logprobs",
        &["false"],
        r#"it is chat's; use `include`: ["message.output_text.logprobs"]"#,
    ),
    Unsupported::new(
        "n",
        &["1"],
        "a response is one answer; ask again for another",
    ),
];

/// Refuses fields that ask for what cannot be done.
pub(super) fn check_support(fields: &Object) -> Result<(), ApiError> {
    refuse(fields, UNSUPPORTED)
}

/// Refuses what the fields say together.
pub(super) fn check(request: &ResponsesRequest, sampling: &Sampling) -> Result<(), ApiError> {
    if says_nothing(&request.input) {
        return Err(ApiError::invalid(
            "input",
            "`input` must hold at least one message.",
        ));
    }
    check_choice(request, sampling)?;
    if request.top_logprobs.is_some_and(|count| count > 0) && !request.logprobs {
        return Err(ApiError::invalid(
            "top_logprobs",
            r#"`top_logprobs` is only allowed with `include`: ["message.output_text.logprobs"]."#,
        ));
    }
    // With a single item there is nothing that could be dropped.
    if request.truncation == Truncation::Auto && request.input.len() > 1 {
        return Err(unsupported(
            "truncation",
            "items are never dropped; send fewer, and leave it out",
        ));
    }
    Ok(())
}

/// Whether no message comes of these items.
fn says_nothing(input: &[Item]) -> bool {
    input
        .iter()
        .all(|item| matches!(item, Item::Reasoning(None)))
}

fn check_choice(request: &ResponsesRequest, sampling: &Sampling) -> Result<(), ApiError> {
    let choice = &request.tool_choice;
    let names = || request.tools.iter().map(|tool| tool.name.as_str());
    if let Choice::Among(allowed, _) = choice
        && allowed.iter().any(|name| !names().any(|tool| tool == name))
    {
        return Err(tool_choice::unknown());
    }
    let offered = names().filter(|name| choice.admits(name));
    tool_choice::check(Some(choice.must()), offered)?;
    let form = sampling.constraint.as_ref();
    tool_choice::check_form(Some(choice.must()), form, "text.format")
}
