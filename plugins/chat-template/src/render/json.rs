//! JSON texts as template values, with nothing about them lost: key order, `1` apart from `1.0`, integers of any length.

use std::fmt;

use minijinja::value::{Object, ObjectRepr, Value};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Deeper nesting is refused: whatever walks a value recurses, and a component's stack is small.
const MAX_DEPTH: usize = 100;

/// The value that a JSON text stands for. Of keys that come twice the later value counts, as in Python.
pub(crate) fn value(text: &str) -> Result<Value, String> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
    nested(raw, 0)
}

/// Each level is cut into its parts' texts, because only a number's text says whether it is an integer.
fn nested(raw: &RawValue, depth: usize) -> Result<Value, String> {
    if depth > MAX_DEPTH {
        return Err(format!("nested deeper than {MAX_DEPTH} levels"));
    }
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = read(text)?;
            let mut pairs = Vec::with_capacity(members.len());
            for (key, part) in members {
                pairs.push((key, nested(part, depth + 1)?));
            }
            Ok(Value::from_pairs(pairs))
        }
        Some(b'[') => {
            let parts: Vec<&RawValue> = read(text)?;
            parts
                .into_iter()
                .map(|part| nested(part, depth + 1))
                .collect()
        }
        Some(b'"') => read::<String>(text).map(Value::from),
        Some(b't') => Ok(Value::from(true)),
        Some(b'f') => Ok(Value::from(false)),
        Some(b'n') => Ok(Value::from(())),
        _ => number(text),
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn number(text: &str) -> Result<Value, String> {
    if text.contains(['.', 'e', 'E']) {
        let x: f64 = text
            .parse()
            .map_err(|_| format!("`{text}` is not a number"))?;
        return Ok(Value::from(x));
    }
    Ok(match (text.parse::<i64>(), text.parse::<i128>()) {
        (Ok(small), _) => Value::from(small),
        (_, Ok(large)) => Value::from(large),
        _ => Value::from_object(HugeInteger(text.to_owned())),
    })
}

/// An object's members in the order in which they were written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// An integer beyond 128 bits. Templates can write it out; reckoning with it fails.
#[derive(Debug)]
pub(crate) struct HugeInteger(String);

impl Object for HugeInteger {
    fn repr(self: &std::sync::Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &std::sync::Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
