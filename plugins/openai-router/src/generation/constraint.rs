//! The form that an answer must have: OpenAI's `response_format` and `text.format`, and `structured_outputs` as vLLM has it.

use plugin_sdk::{ApiError, Constraint};
use serde_json::value::RawValue;

use super::unsupported::{Unsupported, refuse};
use crate::body::{Kind, Object, Value};

/// Members of `structured_outputs` that vLLM knows and nothing here can honour.
const UNSUPPORTED: &[Unsupported] = &[
    Unsupported::new("structural_tag", &[], "use `grammar`"),
    Unsupported::new(
        "whitespace_pattern",
        &[],
        "use `grammar` to say where blanks may stand",
    ),
    Unsupported::new(
        "disable_any_whitespace",
        &["false"],
        "use `grammar` to say where blanks may stand",
    ),
    Unsupported::new(
        "disable_additional_properties",
        &["false"],
        "write `additionalProperties` into the schema",
    ),
];

/// Reads both fields, of which one at most may ask for something.
pub(super) fn read(fields: &Object) -> Result<Option<Constraint>, ApiError> {
    let format = fields
        .read("response_format", read_response_format)?
        .flatten();
    let outputs = fields.read("structured_outputs", read_structured_outputs)?;
    if format.is_some() && outputs.is_some() {
        return Err(twice("response_format"));
    }
    Ok(format.or(outputs))
}

/// The refusal of two forms, one in `structured_outputs` and one in `format_field`.
pub(super) fn twice(format_field: &str) -> ApiError {
    let message =
        format!("`structured_outputs` and `{format_field}` exclude each other; send one of them.");
    ApiError::invalid("structured_outputs", message)
}

/// Which of the two fields asks for a form, if any does.
pub(super) fn field(fields: &Object) -> &'static str {
    match fields.get("structured_outputs") {
        Some(_) => "structured_outputs",
        None => "response_format",
    }
}

fn read_response_format(format: Value) -> Result<Option<Constraint>, ApiError> {
    let fields = format.object()?;
    read_format(&fields, || {
        fields.need("json_schema", |named| read_named_schema(&named.object()?))
    })
}

/// The `text.format` of a response, which has the members of `json_schema` beside its `type`.
pub(crate) fn read_text_format(format: Value) -> Result<Option<Constraint>, ApiError> {
    let fields = format.object()?;
    read_format(&fields, || read_named_schema(&fields))
}

/// Nothing for plain text, which has no form.
fn read_format(
    fields: &Object,
    read_schema: impl FnOnce() -> Result<Constraint, ApiError>,
) -> Result<Option<Constraint>, ApiError> {
    fields.need("type", |kind| {
        let refusal = kind.must_be(r#""text", "json_object" or "json_schema""#);
        match kind.string()?.as_str() {
            "text" => Ok(None),
            "json_object" => Ok(Some(Constraint::JsonObject)),
            "json_schema" => read_schema().map(Some),
            _ => Err(refusal),
        }
    })
}

/// A schema as OpenAI wraps it. `strict` changes nothing: a form is kept to or it is refused.
fn read_named_schema(fields: &Object) -> Result<Constraint, ApiError> {
    let schema = fields.need("schema", |schema| {
        let text = schema.raw().get().to_owned();
        schema.object().map(|_| text)
    })?;
    fields.need("name", Value::string)?;
    fields.read("description", Value::string)?;
    fields.read("strict", Value::boolean)?;
    Ok(Constraint::JsonSchema(schema))
}

fn read_structured_outputs(outputs: Value) -> Result<Constraint, ApiError> {
    let path = outputs.path().to_owned();
    let fields = outputs.object()?;
    refuse(&fields, UNSUPPORTED)?;
    let any_object = fields.read("json_object", Value::boolean)?;
    let mut given = [
        fields.read("json", read_schema)?,
        fields.read("regex", |v| v.string().map(Constraint::Regex))?,
        fields.read("choice", read_choice)?,
        fields.read("grammar", |v| v.string().map(Constraint::Lark))?,
        (any_object == Some(true)).then_some(Constraint::JsonObject),
    ]
    .into_iter()
    .flatten();
    match (given.next(), given.next()) {
        (Some(constraint), None) => Ok(constraint),
        _ => Err(ApiError::invalid(
            &path,
            format!(
                "`{path}` must have exactly one of `json`, `regex`, `choice`, `grammar` and `json_object`: true."
            ),
        )),
    }
}

/// A schema as an object or, as many clients send it, as that object's text in a string.
fn read_schema(schema: Value) -> Result<Constraint, ApiError> {
    let refusal = schema.must_be("a JSON schema: an object, or a string that holds one");
    let text = match schema.kind() {
        Kind::Object => schema.raw().get().to_owned(),
        Kind::String => schema.string()?,
        _ => return Err(refusal),
    };
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(schema) if Kind::of(schema.get()) == Kind::Object => Ok(Constraint::JsonSchema(text)),
        _ => Err(refusal),
    }
}

fn read_choice(choice: Value) -> Result<Constraint, ApiError> {
    let refusal = choice.must_be("a list of at least one string");
    let texts = choice.each(Value::string)?;
    if texts.is_empty() {
        return Err(refusal);
    }
    let alternatives: Vec<_> = texts.iter().map(|text| escape(text)).collect();
    Ok(Constraint::Regex(alternatives.join("|")))
}

/// A regular expression that matches this text and no other.
fn escape(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}
