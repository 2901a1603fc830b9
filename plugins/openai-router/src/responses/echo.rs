//! What a response repeats of its request.

use plugin_sdk::ApiError;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{tools::FunctionTool, types::ResponsesRequest};
use crate::{
    answer::json_text,
    body::{Object, Value},
};

/// The members of a response that its request alone decides, as the client wrote them. What it left out is OpenAI's default,
/// or null where the server has one of its own.
#[derive(Debug, Serialize)]
pub(super) struct Echo {
    background: bool,
    instructions: Box<RawValue>,
    max_output_tokens: Box<RawValue>,
    max_tool_calls: (),
    metadata: Box<RawValue>,
    parallel_tool_calls: bool,
    previous_response_id: (),
    prompt_cache_key: Box<RawValue>,
    reasoning: Box<RawValue>,
    safety_identifier: Box<RawValue>,
    service_tier: &'static str,
    store: bool,
    temperature: Box<RawValue>,
    text: Box<RawValue>,
    tool_choice: Box<RawValue>,
    tools: Box<RawValue>,
    top_logprobs: u32,
    top_p: Box<RawValue>,
    truncation: Box<RawValue>,
    user: Box<RawValue>,
}

#[derive(Serialize)]
struct Reasoning {
    effort: Box<RawValue>,
    summary: Box<RawValue>,
}

#[derive(Serialize)]
struct Text {
    format: Box<RawValue>,
    verbosity: Box<RawValue>,
}

impl Echo {
    /// Of a request that was read and checked, and the fields that it was read from.
    pub(super) fn of(fields: &Object, request: &ResponsesRequest) -> Result<Echo, ApiError> {
        let field = |name, default| written(Some(fields), name, default);
        let reasoning = fields.read("reasoning", Value::object)?;
        let text = fields.read("text", Value::object)?;
        let tools: Vec<_> = request.tools.iter().map(FunctionTool::body).collect();
        Ok(Echo {
            background: false,
            instructions: field("instructions", "null"),
            max_output_tokens: field("max_output_tokens", "null"),
            max_tool_calls: (),
            metadata: field("metadata", "{}"),
            parallel_tool_calls: request.parallel_tool_calls,
            previous_response_id: (),
            prompt_cache_key: field("prompt_cache_key", "null"),
            reasoning: json_text(&Reasoning {
                effort: written(reasoning.as_ref(), "effort", "null"),
                summary: written(reasoning.as_ref(), "summary", "null"),
            }),
            safety_identifier: field("safety_identifier", "null"),
            // There is one tier, whichever was asked for, and nothing is stored.
            service_tier: "default",
            store: false,
            temperature: field("temperature", "null"),
            text: json_text(&Text {
                format: written(text.as_ref(), "format", r#"{"type":"text"}"#),
                verbosity: written(text.as_ref(), "verbosity", r#""medium""#),
            }),
            tool_choice: field("tool_choice", r#""auto""#),
            tools: json_text(&tools),
            top_logprobs: request.top_logprobs.unwrap_or(0),
            top_p: field("top_p", "null"),
            truncation: field("truncation", r#""disabled""#),
            user: field("user", "null"),
        })
    }
}

/// The field as the client wrote it, or else the JSON text `default`.
fn written(fields: Option<&Object>, name: &str, default: &'static str) -> Box<RawValue> {
    match fields.and_then(|fields| fields.get(name)) {
        Some(value) => value.raw().to_owned(),
        None => RawValue::from_string(default.to_owned()).expect("the defaults above are JSON"),
    }
}
