//! What a request says of its answer besides sampling: thinking, form, effort; and who asks.

use plugin_sdk::{ApiError, Constraint};

use crate::{body::Value, error::unsupported};

/// The least budget, by Anthropic's rule.
const MIN_BUDGET: u32 = 1024;

/// Whether the model is to think before it answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Thinking {
    /// It is, for less than this many tokens, which nobody counts while it does.
    Enabled {
        budget: u32,
    },
    Disabled,
    /// As the model likes.
    Adaptive,
}

/// The members of `output_config`.
#[derive(Default)]
pub(super) struct Output {
    pub(super) form: Option<Constraint>,
    pub(super) effort: Option<&'static str>,
}

pub(super) fn read_thinking(thinking: Value) -> Result<Thinking, ApiError> {
    let fields = thinking.object()?;
    fields.only(&["type", "budget_tokens", "display"])?;
    // What the model thinks is sent as it is; there is nothing that could take its place.
    fields.read("display", |v| v.word(&["summarized"]))?;
    match fields.need("type", |v| v.word(&["enabled", "disabled", "adaptive"]))? {
        "enabled" => {
            let budget = fields.need("budget_tokens", |v| v.integer(MIN_BUDGET..=u32::MAX))?;
            Ok(Thinking::Enabled { budget })
        }
        "disabled" => Ok(Thinking::Disabled),
        _ => Ok(Thinking::Adaptive),
    }
}

pub(super) fn read_output(output: Value) -> Result<Output, ApiError> {
    let fields = output.object()?;
    fields.only(&["format", "effort"])?;
    Ok(Output {
        form: fields.read("format", read_format)?,
        effort: fields.read("effort", |v| {
            v.word(&["low", "medium", "high", "xhigh", "max"])
        })?,
    })
}

fn read_format(format: Value) -> Result<Constraint, ApiError> {
    let fields = format.object()?;
    fields.only(&["type", "schema"])?;
    fields.need("type", |v| v.word(&["json_schema"]))?;
    fields.need("schema", |schema| {
        let text = schema.raw().get().to_owned();
        schema.object().map(|_| Constraint::JsonSchema(text))
    })
}

/// The user's id is for the operator of Anthropic's servers; the answer does not depend on it.
pub(super) fn check_metadata(metadata: Value) -> Result<(), ApiError> {
    let fields = metadata.object()?;
    fields.only(&["user_id"])?;
    fields.read("user_id", Value::string).map(|_| ())
}

/// A mark that the prompt may be cached up to here: it always is.
pub(super) fn check_cache_control(mark: Value) -> Result<(), ApiError> {
    let path = mark.path().to_owned();
    let fields = mark.object()?;
    match fields.need("type", Value::string)?.as_str() {
        "ephemeral" => Ok(()),
        _ => Err(unsupported(&path, "the only type is `ephemeral`")),
    }
}
