//! Blocks of content, as clients send them.

use plugin_sdk::{ApiError, ToolCall};

use super::options::check_cache_control;
use crate::{
    body::{Object, Value},
    error::unsupported,
};

/// One block.
#[derive(Debug)]
pub(super) enum Block {
    Text(String),
    Thinking(String),
    Call(ToolCall),
    Result(CallResult),
}

/// What came of a call.
#[derive(Debug)]
pub(super) struct CallResult {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) is_error: bool,
}

/// A content: a string, or a list of blocks.
pub(super) fn read_content(content: Value) -> Result<Vec<Block>, ApiError> {
    match content.is_string() {
        true => content.string().map(|text| vec![Block::Text(text)]),
        false => content.each(read),
    }
}

/// A content that can only be text: a string, or a list of blocks that become lines of one text.
pub(super) fn read_text(content: Value) -> Result<String, ApiError> {
    if content.is_string() {
        return content.string();
    }
    let texts = content.each(|block| {
        let fields = block.object()?;
        match fields.need("type", Value::string)?.as_str() {
            "text" => text(&fields),
            kind => Err(refused(&fields, kind)),
        }
    })?;
    Ok(texts.join("\n"))
}

fn read(block: Value) -> Result<Block, ApiError> {
    let fields = block.object()?;
    match fields.need("type", Value::string)?.as_str() {
        "text" => text(&fields).map(Block::Text),
        "thinking" => {
            fields.only(&["type", "thinking", "signature"])?;
            fields.read("signature", Value::string)?;
            fields.need("thinking", Value::string).map(Block::Thinking)
        }
        "tool_use" => call(&fields).map(Block::Call),
        "tool_result" => result(&fields).map(Block::Result),
        kind => Err(refused(&fields, kind)),
    }
}

fn text(fields: &Object) -> Result<String, ApiError> {
    fields.only(&["type", "text", "cache_control", "citations"])?;
    fields.read("cache_control", check_cache_control)?;
    let citations = fields
        .read("citations", |v| v.each(Ok))?
        .unwrap_or_default();
    if !citations.is_empty() {
        return Err(unsupported(
            &fields.path_of("citations"),
            "this server cites nothing",
        ));
    }
    fields.need("text", Value::string)
}

fn call(fields: &Object) -> Result<ToolCall, ApiError> {
    fields.only(&["type", "id", "name", "input", "cache_control", "caller"])?;
    fields.read("cache_control", check_cache_control)?;
    fields.read("caller", |caller| {
        let caller = caller.object()?;
        caller.need("type", |v| v.word(&["direct"]))
    })?;
    Ok(ToolCall {
        id: fields.need("id", Value::string)?,
        name: fields.need("name", Value::string)?,
        arguments: fields.need("input", |input| {
            let arguments = input.raw().get().to_owned();
            input.object().map(|_| arguments)
        })?,
    })
}

fn result(fields: &Object) -> Result<CallResult, ApiError> {
    fields.only(&[
        "type",
        "tool_use_id",
        "content",
        "is_error",
        "cache_control",
    ])?;
    fields.read("cache_control", check_cache_control)?;
    Ok(CallResult {
        id: fields.need("tool_use_id", Value::string)?,
        text: fields.read("content", read_text)?.unwrap_or_default(),
        is_error: fields.read("is_error", Value::boolean)?.unwrap_or(false),
    })
}

/// A block that cannot be passed on to the model.
fn refused(fields: &Object, kind: &str) -> ApiError {
    let why = match kind {
        "image" | "document" | "search_result" | "container_upload" => {
            "this server reads text only; send what it says as text"
        }
        "redacted_thinking" => "only the server that wrote it can read it; leave it out",
        "thinking" | "tool_use" | "tool_result" => "only text may stand here",
        _ => "blocks are of type `text`, `thinking`, `tool_use` or `tool_result`",
    };
    let kind: String = kind.chars().take(100).collect();
    let path = fields.path();
    ApiError::invalid(
        path,
        format!("`{path}` is of type `{kind}`, which is not supported: {why}."),
    )
}
