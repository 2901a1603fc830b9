//! The wire shape of a request for a response, besides what it shares with the other endpoints.

use plugin_sdk::{ApiError, Constraint, ToolChoice};
use serde_json::value::RawValue;

use super::{
    input::{self, Item},
    tools::{self, Choice, FunctionTool},
};
use crate::{
    body::{Object, Value},
    error::unsupported,
    generation::read_text_format,
    logprobs::MAX_ALTERNATIVES,
    template::{self, Variables},
};

/// The value of `include` that has an effect.
const LOGPROBS: &str = "message.output_text.logprobs";

/// Its values that ask for no more than is sent anyway: reasoning comes as plain text, which can be sent back as it is, and
/// the others speak of items that never come.
const INCLUDED_ANYWAY: [&str; 7] = [
    "reasoning.encrypted_content",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
];

/// The fields of a request, of the right types and not yet checked against each other.
#[derive(Debug)]
pub(super) struct ResponsesRequest<'a> {
    pub(super) input: Vec<Item>,
    pub(super) instructions: Option<String>,
    pub(super) tools: Vec<FunctionTool<'a>>,
    pub(super) tool_choice: Choice,
    pub(super) parallel_tool_calls: bool,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) logprobs: bool,
    pub(super) top_logprobs: Option<u32>,
    /// What `text.format` asks for.
    pub(super) form: Option<Constraint>,
    pub(super) variables: Variables<'a>,
    pub(super) truncation: Truncation,
}

/// What becomes of an input that is too long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Truncation {
    /// It is refused.
    Disabled,
    /// Its oldest items are dropped.
    Auto,
}

impl<'a> ResponsesRequest<'a> {
    pub(super) fn read(fields: &Object<'a>) -> Result<Self, ApiError> {
        fields.read("metadata", |metadata| {
            let entries = metadata.entries()?.into_iter();
            entries
                .map(|(_, value)| value.string())
                .collect::<Result<Vec<_>, _>>()
        })?;
        Ok(ResponsesRequest {
            input: fields.need("input", input::read)?,
            instructions: fields.read("instructions", Value::string)?,
            tools: fields
                .read("tools", |v| v.each(FunctionTool::read))?
                .unwrap_or_default(),
            tool_choice: fields
                .read("tool_choice", tools::read_choice)?
                .unwrap_or(Choice::Any(ToolChoice::Auto)),
            parallel_tool_calls: fields
                .read("parallel_tool_calls", Value::boolean)?
                .unwrap_or(true),
            max_output_tokens: fields
                .read("max_output_tokens", |v| v.integer(1..=i64::from(u32::MAX)))?,
            logprobs: fields.read("include", read_include)?.unwrap_or(false),
            top_logprobs: fields.read("top_logprobs", |v| v.integer(0..=MAX_ALTERNATIVES))?,
            form: fields.read("text", read_text)?.flatten(),
            variables: Variables::read(fields, fields.read("reasoning", read_effort)?.flatten())?,
            truncation: fields
                .read("truncation", read_truncation)?
                .unwrap_or(Truncation::Disabled),
        })
    }
}

/// Whether log probabilities are asked for.
fn read_include(include: Value) -> Result<bool, ApiError> {
    let asked = include.each(|value| {
        let path = value.path().to_owned();
        match value.string()?.as_str() {
            LOGPROBS => Ok(true),
            name if INCLUDED_ANYWAY.contains(&name) => Ok(false),
            _ => Err(unsupported(&path, "nothing of that name can be included")),
        }
    })?;
    Ok(asked.contains(&true))
}

/// The form; how many words to make is left to the model.
fn read_text(text: Value) -> Result<Option<Constraint>, ApiError> {
    let fields = text.object()?;
    fields.read("verbosity", |v| one_of(v, &["low", "medium", "high"]))?;
    Ok(fields.read("format", read_text_format)?.flatten())
}

/// The effort; a summary is not made, since reasoning is sent whole.
fn read_effort<'a>(reasoning: Value<'a>) -> Result<Option<&'a RawValue>, ApiError> {
    let fields = reasoning.object()?;
    for name in ["summary", "generate_summary"] {
        fields.read(name, |v| one_of(v, &["auto", "concise", "detailed"]))?;
    }
    fields.read("effort", template::read_effort)
}

fn read_truncation(truncation: Value) -> Result<Truncation, ApiError> {
    match one_of(truncation, &["disabled", "auto"])? {
        "auto" => Ok(Truncation::Auto),
        _ => Ok(Truncation::Disabled),
    }
}

/// The one of these words that the value is.
fn one_of(value: Value, words: &[&'static str]) -> Result<&'static str, ApiError> {
    let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    let refusal = value.must_be(quoted.join(" or "));
    let text = value.string()?;
    words
        .iter()
        .find(|word| **word == text)
        .copied()
        .ok_or(refusal)
}
