//! The wire shape of a request.

use plugin_sdk::{ApiError, Sampling, ToolChoice};

use super::{
    block, options,
    options::Thinking,
    tools::{self, OfferedTool},
    turn::{self, Turn},
};
use crate::body::{Object, Value};

/// The most stop sequences: each costs time with every token.
const MAX_STOP_SEQUENCES: usize = 16;

/// The fields of a request, of the right types and not yet checked against each other.
#[derive(Debug)]
pub(super) struct MessagesRequest<'a> {
    pub(super) model: String,
    /// Absent or empty: there is no system prompt.
    pub(super) system: Option<String>,
    pub(super) turns: Vec<Turn>,
    pub(super) tools: Vec<OfferedTool<'a>>,
    pub(super) tool_choice: Option<ToolChoice>,
    /// Whether an answer may have more than one call.
    pub(super) parallel_calls: bool,
    pub(super) thinking: Option<Thinking>,
    /// What becomes of it is the template's business.
    pub(super) effort: Option<&'static str>,
    pub(super) stream: bool,
    pub(super) max_tokens: u32,
    pub(super) sampling: Sampling,
}

impl<'a> MessagesRequest<'a> {
    pub(super) fn read(fields: &Object<'a>) -> Result<Self, ApiError> {
        let choice = fields.read("tool_choice", tools::read_choice)?;
        let output = fields
            .read("output_config", options::read_output)?
            .unwrap_or_default();
        let max_tokens = fields.need("max_tokens", |v| v.integer(1..=u32::MAX))?;
        fields.read("metadata", options::check_metadata)?;
        fields.read("cache_control", options::check_cache_control)?;
        fields.read("service_tier", |v| v.word(&["auto", "standard_only"]))?;
        Ok(MessagesRequest {
            model: fields.need("model", Value::string)?,
            system: fields.read("system", block::read_text)?,
            turns: fields.need("messages", |v| v.each(turn::read))?,
            tools: fields
                .read("tools", |v| v.each(tools::read))?
                .unwrap_or_default(),
            parallel_calls: choice.as_ref().is_none_or(|(_, parallel)| *parallel),
            tool_choice: choice.map(|(choice, _)| choice),
            thinking: fields.read("thinking", options::read_thinking)?,
            effort: output.effort,
            stream: fields.read("stream", Value::boolean)?.unwrap_or(false),
            max_tokens,
            sampling: Sampling {
                max_tokens: Some(max_tokens),
                temperature: fields.read("temperature", |v| v.number(0.0..=1.0))?,
                // A nucleus of 0 holds the likeliest token alone, and so does the smallest that the contract allows.
                top_p: fields
                    .read("top_p", |v| v.number(0.0..=1.0))?
                    .map(|top_p| top_p.max(f32::MIN_POSITIVE)),
                top_k: fields.read("top_k", |v| v.integer(0..=u32::MAX))?,
                stop: fields
                    .read("stop_sequences", read_stop)?
                    .unwrap_or_default(),
                constraint: output.form,
                ..Sampling::default()
            },
        })
    }
}

fn read_stop(stop: Value) -> Result<Vec<String>, ApiError> {
    let refusal = stop.must_be(format!(
        "a list of at most {MAX_STOP_SEQUENCES} strings, none of them empty"
    ));
    let sequences = stop.each(Value::string)?;
    match sequences.len() <= MAX_STOP_SEQUENCES && !sequences.iter().any(String::is_empty) {
        true => Ok(sequences),
        false => Err(refusal),
    }
}
