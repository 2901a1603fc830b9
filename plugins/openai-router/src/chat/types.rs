//! The wire shape of a chat request, besides what it shares with completions.

use plugin_sdk::{ApiError, ToolCall, ToolChoice};
use serde_json::value::RawValue;

use crate::{
    body::{Kind, Object, Value},
    logprobs::MAX_ALTERNATIVES,
    template::{self, Variables},
};

/// The fields of a chat request, of the right types and not yet checked against each other.
#[derive(Debug)]
pub(super) struct ChatRequest<'a> {
    pub(super) messages: Vec<ChatMessage>,
    pub(super) tools: Vec<ChatTool<'a>>,
    pub(super) tool_choice: Option<ToolChoice>,
    pub(super) parallel_tool_calls: bool,
    pub(super) logprobs: bool,
    pub(super) top_logprobs: Option<u32>,
    pub(super) variables: Variables<'a>,
    pub(super) add_generation_prompt: Option<bool>,
    pub(super) continue_final_message: bool,
}

/// One turn.
#[derive(Debug)]
pub(super) struct ChatMessage {
    pub(super) role: String,
    pub(super) content: Option<Content>,
    pub(super) refusal: Option<String>,
    pub(super) reasoning: Option<String>,
    pub(super) name: Option<String>,
    pub(super) tool_calls: Vec<ToolCall>,
    pub(super) tool_call_id: Option<String>,
    /// Whether the turn has a field for which the contract has no place.
    pub(super) unsupported: Option<&'static str>,
}

/// A turn's content.
#[derive(Debug)]
pub(super) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// One part of a content.
#[derive(Debug)]
pub(super) enum Part {
    Text(String),
    /// An image, audio, a file, …
    Other,
}

/// A tool on offer.
#[derive(Debug)]
pub(super) struct ChatTool<'a> {
    pub(super) kind: String,
    /// The function's name, if there is a function.
    pub(super) name: Option<String>,
    /// The whole definition as the client wrote it.
    pub(super) definition: &'a RawValue,
}

impl<'a> ChatRequest<'a> {
    pub(super) fn read(fields: &Object<'a>) -> Result<Self, ApiError> {
        Ok(ChatRequest {
            messages: fields.need("messages", |v| v.each(ChatMessage::read))?,
            tools: fields
                .read("tools", |v| v.each(ChatTool::read))?
                .unwrap_or_default(),
            tool_choice: fields.read("tool_choice", read_tool_choice)?,
            parallel_tool_calls: fields
                .read("parallel_tool_calls", Value::boolean)?
                .unwrap_or(true),
            logprobs: fields.read("logprobs", Value::boolean)?.unwrap_or(false),
            top_logprobs: fields.read("top_logprobs", |v| v.integer(0..=MAX_ALTERNATIVES))?,
            variables: Variables::read(
                fields,
                fields.read("reasoning_effort", template::read_effort)?,
            )?,
            add_generation_prompt: fields.read("add_generation_prompt", Value::boolean)?,
            continue_final_message: fields
                .read("continue_final_message", Value::boolean)?
                .unwrap_or(false),
        })
    }
}

impl ChatMessage {
    fn read(message: Value) -> Result<Self, ApiError> {
        let fields = message.object()?;
        // Two names are in use for the same thing; the AI SDK sends either.
        let reasoning = fields.read("reasoning", Value::string)?;
        Ok(ChatMessage {
            role: fields.need("role", Value::string)?,
            content: fields.read("content", Content::read)?,
            refusal: fields.read("refusal", Value::string)?,
            reasoning: fields
                .read("reasoning_content", Value::string)?
                .or(reasoning),
            name: fields.read("name", Value::string)?,
            tool_calls: fields
                .read("tool_calls", |v| v.each(read_tool_call))?
                .unwrap_or_default(),
            tool_call_id: fields.read("tool_call_id", Value::string)?,
            unsupported: ["audio", "function_call"]
                .into_iter()
                .find(|name| fields.get(name).is_some()),
        })
    }
}

impl Content {
    fn read(content: Value) -> Result<Self, ApiError> {
        match content.kind() {
            Kind::String => content.string().map(Content::Text),
            Kind::List => content.each(Part::read).map(Content::Parts),
            _ => Err(content.must_be("a string or a list of parts")),
        }
    }
}

impl Part {
    fn read(part: Value) -> Result<Self, ApiError> {
        let fields = part.object()?;
        let kind = fields.need("type", Value::string)?;
        match kind.as_str() {
            // What the assistant refused to do is a turn's text like any other.
            "text" | "refusal" => fields.need(&kind, Value::string).map(Part::Text),
            _ => Ok(Part::Other),
        }
    }
}

impl<'a> ChatTool<'a> {
    fn read(tool: Value<'a>) -> Result<Self, ApiError> {
        let definition = tool.raw();
        let fields = tool.object()?;
        let function = fields.read("function", Value::object)?;
        if let Some(function) = &function {
            function.read("description", Value::string)?;
            function.read("parameters", Value::object)?;
        }
        let name = function
            .map(|function| function.need("name", Value::string))
            .transpose()?;
        Ok(ChatTool {
            kind: fields.need("type", Value::string)?,
            name,
            definition,
        })
    }
}

fn read_tool_call(call: Value) -> Result<ToolCall, ApiError> {
    let fields = call.object()?;
    let id = fields.need("id", Value::string)?;
    let function = fields.need("function", Value::object)?;
    Ok(ToolCall {
        id,
        name: function.need("name", Value::string)?,
        arguments: function.need("arguments", Value::string)?,
    })
}

fn read_tool_choice(choice: Value) -> Result<ToolChoice, ApiError> {
    let refusal = choice
        .must_be(r#""auto", "none", "required" or {"type":"function","function":{"name":…}}"#);
    match choice.kind() {
        Kind::String => match choice.string()?.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(refusal),
        },
        Kind::Object => {
            let fields = choice.object()?;
            if fields.need("type", Value::string)? != "function" {
                return Err(refusal);
            }
            let function = fields.need("function", Value::object)?;
            function.need("name", Value::string).map(ToolChoice::Named)
        }
        _ => Err(refusal),
    }
}
