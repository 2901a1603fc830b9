//! Jinja as Transformers sets it up.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{StringInput, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, escape_formatter};
use minijinja_contrib::pycompat;

use super::{failure::Refusal, python::Str, strftime::strftime, tojson, whitespace};

/// Steps that one rendering may take, a fraction of a second; 64 bytes that are copied count as one. A test renders a
/// megabyte of conversation with it, which is what the longest contexts hold.
const FUEL: u64 = 2_000_000;

/// An environment for one rendering. `now` is in seconds since 1970.
pub(crate) fn environment(now: u64) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(write_value);
    environment.set_unknown_method_callback(method);
    environment.add_filter("tojson", tojson::tojson);
    environment.add_filter("trim", trim);
    environment.add_function(
        "raise_exception",
        |message: String| -> Result<Value, Error> {
            let error = Error::new(ErrorKind::InvalidOperation, "the template refused");
            Err(error.with_source(Refusal(message)))
        },
    );
    environment.add_function("strftime_now", move |format: String| strftime(&format, now));
    Ok(environment)
}

/// `{{ value }}`.
fn write_value(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    // Undefined has rules of its own.
    if value.is_undefined() {
        return escape_formatter(out, state, value);
    }
    write!(out, "{}", Str(value)).map_err(|_| Error::from(ErrorKind::WriteFailure))
}

/// The filter `trim`: of Python's whitespace, or of the characters named.
fn trim(value: StringInput<'_>, characters: Option<String>) -> String {
    let text = value.as_str();
    match characters {
        Some(characters) => text.trim_matches(|c| characters.contains(c)),
        None => whitespace::strip(text),
    }
    .to_owned()
}

/// Python's methods of strings and dicts.
fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match (value.as_str(), name, args) {
        (Some(text), "strip", []) => Ok(Value::from(whitespace::strip(text))),
        (Some(text), "lstrip", []) => Ok(Value::from(whitespace::strip_start(text))),
        (Some(text), "rstrip", []) => Ok(Value::from(whitespace::strip_end(text))),
        (Some(text), "split", []) => Ok(whitespace::words(text).map(Value::from).collect()),
        _ => pycompat::unknown_method_callback(state, value, name, args),
    }
}
