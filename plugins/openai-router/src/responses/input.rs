//! What a request tells of the conversation: `input`, a text or a list of items.

use plugin_sdk::{ApiError, ToolCall};

use crate::{
    body::{Kind, Object, Value},
    error::unsupported,
};

const NOTHING_STORED: &str = "no items are stored here; send the item itself";

/// One item, of those that this server reads.
#[derive(Debug)]
pub(super) enum Item {
    /// What another than the model said: `user`, `system` or `developer`.
    Prompt { role: String, text: String },
    /// What the model said.
    Answer(String),
    /// What it thought before; nothing where all that came is encrypted.
    Reasoning(Option<String>),
    /// What it called.
    Call(ToolCall),
    /// What came of a call.
    CallOutput { call_id: String, text: String },
}

/// The items; a bare text is what the user says.
pub(super) fn read(input: Value) -> Result<Vec<Item>, ApiError> {
    match input.kind() {
        Kind::String => {
            let role = "user".to_owned();
            let text = input.string()?;
            Ok(vec![Item::Prompt { role, text }])
        }
        Kind::List => input.each(Item::read),
        _ => Err(input.must_be("a string or a list of items")),
    }
}

impl Item {
    fn read(item: Value) -> Result<Item, ApiError> {
        let path = item.path().to_owned();
        let refuse = |why| Err(unsupported(&format!("{path}.type"), why));
        let fields = item.object()?;
        let kind = fields.read("type", Value::string)?;
        match kind.as_deref() {
            Some("message") => Item::message(&fields),
            Some("reasoning") => reasoning_text(&fields).map(Item::Reasoning),
            Some("function_call") => Ok(Item::Call(ToolCall {
                id: fields.need("call_id", Value::string)?,
                name: fields.need("name", Value::string)?,
                arguments: fields.need("arguments", Value::string)?,
            })),
            Some("function_call_output") => Ok(Item::CallOutput {
                call_id: fields.need("call_id", Value::string)?,
                text: fields.need("output", text)?,
            }),
            Some("item_reference") => refuse(NOTHING_STORED),
            // Messages and references may leave their type out; only the former have a role.
            None if fields.get("role").is_none() && fields.get("id").is_some() => {
                refuse(NOTHING_STORED)
            }
            None => Item::message(&fields),
            Some(_) => {
                refuse("only messages, reasoning, function calls and their outputs are read")
            }
        }
    }

    fn message(fields: &Object) -> Result<Item, ApiError> {
        let role = fields.need("role", |role| {
            let refusal = role.must_be("`user`, `assistant`, `system` or `developer`");
            let role = role.string()?;
            match role.as_str() {
                "user" | "assistant" | "system" | "developer" => Ok(role),
                _ => Err(refusal),
            }
        })?;
        let text = fields.need("content", text)?;
        Ok(match role.as_str() {
            "assistant" => Item::Answer(text),
            _ => Item::Prompt { role, text },
        })
    }
}

/// A text, or its parts as lines of one: run together, the end of a document and the question after it would be one word.
fn text(content: Value) -> Result<String, ApiError> {
    match content.kind() {
        Kind::String => content.string(),
        Kind::List => Ok(content.each(part)?.join("\n")),
        _ => Err(content.must_be("a string or a list of parts")),
    }
}

fn part(part: Value) -> Result<String, ApiError> {
    let path = part.path().to_owned();
    let fields = part.object()?;
    let kind = fields.need("type", Value::string)?;
    let why = match kind.as_str() {
        "input_text" | "output_text" => return fields.need("text", Value::string),
        // What the assistant refused to do is a turn's text like any other.
        "refusal" => return fields.need("refusal", Value::string),
        "input_image" => "this server reads text only, and no `input_image`",
        "input_file" => "no `input_file` is read; send the file's text as `input_text`",
        "input_audio" => "this server reads text only, and no `input_audio`",
        _ => "this server reads only parts of type `input_text` and `output_text`",
    };
    Err(unsupported(&path, why))
}

/// The reasoning as it was written, or its summary where that is all there is.
fn reasoning_text(fields: &Object) -> Result<Option<String>, ApiError> {
    let read = |name| -> Result<Option<String>, ApiError> {
        let texts = fields.read(name, |parts| {
            parts.each(|part| part.object()?.need("text", Value::string))
        })?;
        Ok(texts
            .map(|texts| texts.join("\n"))
            .filter(|text| !text.is_empty()))
    };
    let summary = read("summary")?;
    Ok(read("content")?.or(summary))
}
