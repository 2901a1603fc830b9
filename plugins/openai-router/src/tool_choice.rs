//! Which tool must be called: what is refused wherever tools are offered.

use plugin_sdk::{ApiError, Constraint, ToolChoice};

/// Refuses a choice that the tools on offer cannot meet.
pub(crate) fn check<'a>(
    choice: Option<&ToolChoice>,
    mut offered: impl Iterator<Item = &'a str>,
) -> Result<(), ApiError> {
    match choice {
        Some(ToolChoice::Required) if offered.next().is_none() => Err(ApiError::invalid(
            "tool_choice",
            "`tool_choice` requires a call, but `tools` offers none.",
        )),
        Some(ToolChoice::Named(name)) if !offered.any(|tool| tool == name) => Err(unknown()),
        _ => Ok(()),
    }
}

/// The refusal of a choice that speaks of a function which is not on offer.
pub(crate) fn unknown() -> ApiError {
    ApiError::invalid(
        "tool_choice",
        "`tool_choice` names a function that `tools` does not offer.",
    )
}

/// A forced call is begun in the prompt, so the model's text goes on inside it and cannot have a form of its own.
/// `format_field` is where this endpoint's clients ask for one, besides `structured_outputs`.
pub(crate) fn check_form(
    choice: Option<&ToolChoice>,
    form: Option<&Constraint>,
    format_field: &str,
) -> Result<(), ApiError> {
    match (choice, form) {
        (Some(ToolChoice::Required | ToolChoice::Named(_)), Some(_)) => Err(ApiError::invalid(
            "tool_choice",
            format!(
                "A forced call cannot have a form: leave out `tool_choice` or `{format_field}` or `structured_outputs`."
            ),
        )),
        _ => Ok(()),
    }
}
