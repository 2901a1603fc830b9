//! Tools on offer, and which of them must be called.

use plugin_sdk::{ApiError, ToolChoice};
use serde_json::value::RawValue;

use super::options::check_cache_control;
use crate::{
    body::{Object, Value},
    error::unsupported,
};

/// A tool that the client runs itself.
#[derive(Debug)]
pub(super) struct OfferedTool<'a> {
    pub(super) name: String,
    pub(super) description: Option<String>,
    /// Its schema as the client wrote it.
    pub(super) input_schema: &'a RawValue,
}

/// Members that a tool may have and nothing here can keep, unless they ask for nothing.
const UNSUPPORTED: [(&str, &str, &str); 4] = [
    (
        "strict",
        "false",
        "no grammar holds the model to a tool's schema",
    ),
    ("defer_loading", "false", "all tools are shown to the model"),
    (
        "input_examples",
        "[]",
        "write the examples into the description",
    ),
    (
        "allowed_callers",
        r#"["direct"]"#,
        "only the model calls tools",
    ),
];

pub(super) fn read(tool: Value) -> Result<OfferedTool, ApiError> {
    let fields = tool.object()?;
    if let Some(kind) = fields.read("type", Value::string)?
        && kind != "custom"
    {
        let why = "only tools of the client's own, of type `custom`, can be called";
        return Err(unsupported(&fields.path_of("type"), why));
    }
    fields.only(&[
        "type",
        "name",
        "description",
        "input_schema",
        "cache_control",
        "eager_input_streaming",
        "strict",
        "defer_loading",
        "input_examples",
        "allowed_callers",
    ])?;
    check_support(&fields)?;
    fields.read("cache_control", check_cache_control)?;
    fields.read("eager_input_streaming", Value::boolean)?;
    let name = fields.need("name", |name| {
        let refusal = name.must_be("a name");
        name.string().and_then(|name| {
            if name.is_empty() {
                Err(refusal)
            } else {
                Ok(name)
            }
        })
    })?;
    Ok(OfferedTool {
        name,
        description: fields.read("description", Value::string)?,
        input_schema: fields.need("input_schema", |schema| {
            let raw = schema.raw();
            schema.object().map(|_| raw)
        })?,
    })
}

fn check_support(fields: &Object) -> Result<(), ApiError> {
    for (name, harmless, why) in UNSUPPORTED {
        if let Some(value) = fields.get(name)
            && value
                .raw()
                .get()
                .split_ascii_whitespace()
                .collect::<String>()
                != harmless
        {
            return Err(unsupported(value.path(), why));
        }
    }
    Ok(())
}

/// The choice, and whether the answer may have several calls.
pub(super) fn read_choice(choice: Value) -> Result<(ToolChoice, bool), ApiError> {
    let fields = choice.object()?;
    fields.only(&["type", "name", "disable_parallel_tool_use"])?;
    let choice = match fields.need("type", |v| v.word(&["auto", "any", "tool", "none"]))? {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "tool" => fields.need("name", Value::string).map(ToolChoice::Named)?,
        _ => ToolChoice::None,
    };
    let is_single = fields
        .read("disable_parallel_tool_use", Value::boolean)?
        .unwrap_or(false);
    Ok((choice, !is_single))
}
