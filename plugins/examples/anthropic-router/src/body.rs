//! Reads a request's JSON by the names that the client gave its fields.
//!
//! A derived deserialiser would lose the text of schemas and arguments inside blocks that are told apart by their `type`,
//! and name no field of them. `null` is the same as leaving a field out; a field that nobody knows is refused, as
//! Anthropic does.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive};

use plugin_sdk::ApiError;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::malformed;

/// Values up to this many bytes are quoted in messages; of longer ones the kind is named.
const MAX_QUOTED_LEN: usize = 32;

/// A JSON value and where it stands.
pub(crate) struct Value<'a> {
    path: String,
    raw: &'a RawValue,
}

/// A JSON object and where it stands.
pub(crate) struct Object<'a> {
    path: String,
    members: BTreeMap<String, &'a RawValue>,
}

/// The whole body, which must be one JSON object.
pub(crate) fn parse(body: &[u8]) -> Result<Object<'_>, ApiError> {
    let raw: &RawValue = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("The body is not valid JSON: {error}.")))?;
    let root = Value {
        path: String::new(),
        raw,
    };
    root.object()
        .map_err(|_| malformed("The body must be a JSON object."))
}

impl<'a> Object<'a> {
    /// Where it stands.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Refuses a field that is not among these.
    pub(crate) fn only(&self, names: &[&str]) -> Result<(), ApiError> {
        let is_unknown = |(name, raw): &(&String, &&RawValue)| {
            raw.get() != "null" && !names.contains(&name.as_str())
        };
        let Some((name, _)) = self.members.iter().find(is_unknown) else {
            return Ok(());
        };
        // A body may be megabytes long, and any of it may be a name.
        let name: String = name.chars().take(100).collect();
        let path = self.path_of(&name);
        let message = format!(
            "`{path}` is not a field that this server knows; here are {}.",
            names.join(", ")
        );
        Err(ApiError::invalid(path, message))
    }

    /// The field's value, unless it is absent or null.
    pub(crate) fn get(&self, name: &str) -> Option<Value<'a>> {
        let raw = *self.members.get(name)?;
        (raw.get() != "null").then(|| Value {
            path: self.path_of(name),
            raw,
        })
    }

    /// The field read as something, if it is there: `fields.read("stream", Value::boolean)`.
    pub(crate) fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(Value<'a>) -> Result<T, ApiError>,
    ) -> Result<Option<T>, ApiError> {
        self.get(name).map(read).transpose()
    }

    /// The field read as something; refused if it is not there.
    pub(crate) fn need<T>(
        &self,
        name: &str,
        read: impl FnOnce(Value<'a>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.read(name, read)?.ok_or_else(|| {
            let path = self.path_of(name);
            let message = format!("`{path}` is missing.");
            ApiError::invalid(path, message)
        })
    }

    /// What the client would call a field of this object.
    pub(crate) fn path_of(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }
}

impl<'a> Value<'a> {
    /// The text as the client wrote it.
    pub(crate) fn raw(&self) -> &'a RawValue {
        self.raw
    }

    /// What the client would call this value.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn is_string(&self) -> bool {
        self.raw.get().starts_with('"')
    }

    pub(crate) fn string(self) -> Result<String, ApiError> {
        self.typed("a string")
    }

    pub(crate) fn boolean(self) -> Result<bool, ApiError> {
        self.typed("a boolean")
    }

    /// One of these words.
    pub(crate) fn word(self, words: &[&'static str]) -> Result<&'static str, ApiError> {
        let given = serde_json::from_str::<String>(self.raw.get()).unwrap_or_default();
        let known = words.iter().find(|word| **word == given);
        known.copied().ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
            self.must_be(words.join(" or "))
        })
    }

    pub(crate) fn integer(self, range: RangeInclusive<u32>) -> Result<u32, ApiError> {
        let number = serde_json::from_str(self.raw.get()).ok();
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                self.must_be(format!(
                    "an integer from {} to {}",
                    range.start(),
                    range.end()
                ))
            })
    }

    pub(crate) fn number(self, range: RangeInclusive<f32>) -> Result<f32, ApiError> {
        let number = serde_json::from_str(self.raw.get()).ok();
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                self.must_be(format!(
                    "a number from {} to {}",
                    range.start(),
                    range.end()
                ))
            })
    }

    /// A list whose items are all read the same way.
    pub(crate) fn each<T>(
        self,
        mut read: impl FnMut(Value<'a>) -> Result<T, ApiError>,
    ) -> Result<Vec<T>, ApiError> {
        let items: Vec<&'a RawValue> = self.typed("a list")?;
        let at = |(i, raw)| Value {
            path: format!("{}[{i}]", self.path),
            raw,
        };
        items
            .into_iter()
            .enumerate()
            .map(|item| read(at(item)))
            .collect()
    }

    pub(crate) fn object(self) -> Result<Object<'a>, ApiError> {
        let members = self.typed("an object")?;
        Ok(Object {
            path: self.path,
            members,
        })
    }

    /// The refusal of a value that is not what it has to be.
    pub(crate) fn must_be(&self, expected: impl Display) -> ApiError {
        let given = match self.raw.get() {
            short if short.len() <= MAX_QUOTED_LEN => short,
            text => match text.as_bytes().first() {
                Some(b'{') => "an object",
                Some(b'[') => "a list",
                Some(b'"') => "a string",
                _ => "a number",
            },
        };
        let message = format!("`{}` must be {expected}, not {given}.", self.path);
        ApiError::invalid(&self.path, message)
    }

    fn typed<T: Deserialize<'a>>(&self, expected: &str) -> Result<T, ApiError> {
        serde_json::from_str(self.raw.get()).map_err(|_| self.must_be(expected))
    }
}
