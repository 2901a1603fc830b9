//! The tools on offer, and which of them may or must be called.

use plugin_sdk::{ApiError, Tool, ToolChoice};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    answer::json_text,
    body::{Kind, Object, Value},
    error::unsupported,
};

/// A function, whose members stand beside the tool's type.
#[derive(Debug)]
pub(super) struct FunctionTool<'a> {
    pub(super) name: String,
    description: Option<&'a RawValue>,
    parameters: Option<&'a RawValue>,
    strict: Option<&'a RawValue>,
}

/// The same as chat has it, and as templates expect it: the function in an object of its own.
#[derive(Serialize)]
struct Definition<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<&'a RawValue>,
}

/// The tool as an answer repeats it: all of these keys, always.
#[derive(Serialize)]
pub(super) struct ToolBody<'a> {
    r#type: &'static str,
    name: &'a str,
    description: Option<&'a RawValue>,
    parameters: Option<&'a RawValue>,
    strict: Option<&'a RawValue>,
}

impl<'a> FunctionTool<'a> {
    pub(super) fn read(tool: Value<'a>) -> Result<Self, ApiError> {
        let path = tool.path().to_owned();
        let fields = tool.object()?;
        if fields.need("type", Value::string)? != "function" {
            let only = "only tools of type `function` can be called";
            return Err(unsupported(&format!("{path}.type"), only));
        }
        let name = fields.need("name", Value::string)?;
        if name.is_empty() {
            let param = format!("{path}.name");
            let message = format!("`{param}` must not be empty.");
            return Err(ApiError::invalid(param, message));
        }
        fields.read("description", Value::string)?;
        fields.read("parameters", Value::object)?;
        fields.read("strict", Value::boolean)?;
        let raw = |name| fields.get(name).map(|value| value.raw());
        Ok(FunctionTool {
            name,
            description: raw("description"),
            parameters: raw("parameters"),
            strict: raw("strict"),
        })
    }

    /// The tool in the contract's terms.
    pub(super) fn into_tool(self) -> Tool {
        let definition = json_text(&Definition {
            r#type: "function",
            function: Function {
                name: &self.name,
                description: self.description,
                parameters: self.parameters,
                strict: self.strict,
            },
        });
        Tool {
            definition: definition.get().to_owned(),
            name: self.name,
        }
    }

    /// The tool in the client's terms.
    pub(super) fn body(&self) -> ToolBody<'_> {
        ToolBody {
            r#type: "function",
            name: &self.name,
            description: self.description,
            parameters: self.parameters,
            strict: self.strict,
        }
    }
}

/// What `tool_choice` says.
#[derive(Debug)]
pub(super) enum Choice {
    /// Of all tools.
    Any(ToolChoice),
    /// Of the functions of these names; the model is offered no others.
    Among(Vec<String>, ToolChoice),
}

impl Choice {
    /// Whether the model may call the function of this name.
    pub(super) fn admits(&self, name: &str) -> bool {
        match self {
            Choice::Any(_) => true,
            Choice::Among(names, _) => names.iter().any(|allowed| allowed == name),
        }
    }

    /// Whether and what it must call, of what it may call.
    pub(super) fn must(&self) -> &ToolChoice {
        match self {
            Choice::Any(choice) | Choice::Among(_, choice) => choice,
        }
    }
}

const CHOICES: &str = concat!(
    r#""auto", "none", "required", {"type":"function","name":…} or "#,
    r#"{"type":"allowed_tools","mode":…,"tools":…}"#,
);

/// Reads `tool_choice`.
pub(super) fn read_choice(choice: Value) -> Result<Choice, ApiError> {
    let refusal = choice.must_be(CHOICES);
    match choice.kind() {
        Kind::String => match choice.string()?.as_str() {
            "auto" => Ok(Choice::Any(ToolChoice::Auto)),
            "none" => Ok(Choice::Any(ToolChoice::None)),
            "required" => Ok(Choice::Any(ToolChoice::Required)),
            _ => Err(refusal),
        },
        Kind::Object => {
            let fields = choice.object()?;
            match fields.need("type", Value::string)?.as_str() {
                "function" => {
                    let name = fields.need("name", Value::string)?;
                    Ok(Choice::Any(ToolChoice::Named(name)))
                }
                "allowed_tools" => read_allowed(&fields),
                _ => Err(refusal),
            }
        }
        _ => Err(refusal),
    }
}

fn read_allowed(fields: &Object) -> Result<Choice, ApiError> {
    let mode = fields.need("mode", |mode| {
        let refusal = mode.must_be(r#""auto" or "required""#);
        match mode.string()?.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "required" => Ok(ToolChoice::Required),
            _ => Err(refusal),
        }
    })?;
    let names = fields.need("tools", |tools| tools.each(read_name))?;
    Ok(Choice::Among(names, mode))
}

fn read_name(tool: Value) -> Result<String, ApiError> {
    let path = tool.path().to_owned();
    let fields = tool.object()?;
    if fields.need("type", Value::string)? != "function" {
        let only = "only tools of type `function` can be called";
        return Err(unsupported(&format!("{path}.type"), only));
    }
    fields.need("name", Value::string)
}
