//! Reads a request's JSON by the names that the client gave its fields.
//!
//! A derived deserialiser would be shorter, but it takes lists for objects, loses its place inside an either-or, and
//! speaks of `u32`. Here each refusal names the field, what it must be and what it was, and every part of the body keeps
//! its own text, which tool definitions and schemas need. `null` is the same as leaving a field out.

use std::{
    collections::BTreeMap,
    fmt::Display,
    ops::{Bound, RangeBounds},
};

use plugin_sdk::ApiError;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::error::malformed;

/// Values up to this many bytes are quoted in messages; of longer ones the kind is named.
const MAX_QUOTED_LEN: usize = 32;

/// The whole body, which must be one JSON object.
pub(crate) fn parse(body: &[u8]) -> Result<Object<'_>, ApiError> {
    if body.trim_ascii().is_empty() {
        return Err(malformed("The body is empty; send a JSON object."));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        malformed(format!(
            "The body is not UTF-8: byte {} is wrong.",
            error.valid_up_to()
        ))
    })?;
    let raw: &RawValue = serde_json::from_str(text)
        .map_err(|error| malformed(format!("The body is not valid JSON: {error}.")))?;
    let root = Value {
        path: String::new(),
        raw,
    };
    if root.kind() != Kind::Object {
        return Err(malformed(format!(
            "The body must be a JSON object, not {}.",
            root.kind().name()
        )));
    }
    root.object()
        .map_err(|_| malformed("The body has a key with a broken escape."))
}

/// The sorts of JSON value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Object,
    List,
    String,
    Boolean,
    Null,
    Number,
}

impl Kind {
    /// JSON values differ in their first byte. Whatever begins none is taken for a number, to fail as one.
    pub(crate) fn of(text: &str) -> Kind {
        match text.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::List,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// The kind's name with its article.
    fn name(self) -> &'static str {
        match self {
            Kind::Object => "an object",
            Kind::List => "a list",
            Kind::String => "a string",
            Kind::Boolean => "a boolean",
            Kind::Null => "null",
            Kind::Number => "a number",
        }
    }
}

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

impl<'a> Object<'a> {
    /// The field's value, unless it is absent or null.
    pub(crate) fn get(&self, name: &str) -> Option<Value<'a>> {
        let raw = *self.members.get(name)?;
        (raw.get() != "null").then(|| Value {
            path: self.path_of(name),
            raw,
        })
    }

    /// The field read as something, if it is there: `fields.read("user", Value::string)`.
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
        let path = self.path_of(name);
        self.read(name, read)?
            .ok_or_else(|| ApiError::invalid(&path, format!("`{path}` is missing.")))
    }

    /// What the client would call a field of this object.
    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
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

    /// What sort of value this is.
    pub(crate) fn kind(&self) -> Kind {
        Kind::of(self.raw.get())
    }

    /// What sort of value a list begins with.
    pub(crate) fn first_kind(&self) -> Kind {
        let inside = self.raw.get().strip_prefix('[').unwrap_or_default();
        Kind::of(inside.trim_start())
    }

    /// Whether it equals the JSON text `other`, spacing and key order aside.
    pub(crate) fn equals(&self, other: &str) -> bool {
        let parse = |text| serde_json::from_str::<serde_json::Value>(text).ok();
        parse(self.raw.get()).is_some_and(|value| Some(value) == parse(other))
    }

    pub(crate) fn string(self) -> Result<String, ApiError> {
        self.typed("a string")
    }

    pub(crate) fn boolean(self) -> Result<bool, ApiError> {
        self.typed("a boolean")
    }

    /// Token ids.
    pub(crate) fn tokens(self) -> Result<Vec<u32>, ApiError> {
        // As a rule they are written without a point, and there may be many.
        if let Ok(tokens) = serde_json::from_str(self.raw.get()) {
            return Ok(tokens);
        }
        let refusal = self.must_be("a list of token ids (integers from 0 to 4294967295)");
        let tokens = self
            .list()?
            .into_iter()
            .map(|id| whole_number(id.raw.get()).and_then(|number| u32::try_from(number).ok()));
        tokens.collect::<Option<_>>().ok_or(refusal)
    }

    /// An integer within a range that `T` can hold.
    pub(crate) fn integer<T: TryFrom<i64>>(
        self,
        range: impl RangeBounds<i64>,
    ) -> Result<T, ApiError> {
        whole_number(self.raw.get())
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| self.must_be(format!("an integer{}", describe(&range))))
    }

    /// A finite number within a range.
    pub(crate) fn number(self, range: impl RangeBounds<f32>) -> Result<f32, ApiError> {
        serde_json::from_str(self.raw.get())
            .ok()
            .filter(|number: &f32| number.is_finite() && range.contains(number))
            .ok_or_else(|| self.must_be(format!("a number{}", describe(&range))))
    }

    pub(crate) fn list(self) -> Result<Vec<Value<'a>>, ApiError> {
        let items: Vec<&'a RawValue> = self.borrowed("a list")?;
        let at = |(i, raw)| Value {
            path: format!("{}[{i}]", self.path),
            raw,
        };
        Ok(items.into_iter().enumerate().map(at).collect())
    }

    /// A list whose items are all read the same way.
    pub(crate) fn each<T>(
        self,
        read: impl FnMut(Value<'a>) -> Result<T, ApiError>,
    ) -> Result<Vec<T>, ApiError> {
        self.list()?.into_iter().map(read).collect()
    }

    pub(crate) fn object(self) -> Result<Object<'a>, ApiError> {
        let members = self.borrowed("an object")?;
        Ok(Object {
            path: self.path,
            members,
        })
    }

    /// The object's members, each with its key.
    pub(crate) fn entries(self) -> Result<Vec<(String, Value<'a>)>, ApiError> {
        let Object { path, members } = self.object()?;
        let at = |(key, raw)| {
            let path = format!("{path}.{key}");
            (key, Value { path, raw })
        };
        Ok(members.into_iter().map(at).collect())
    }

    /// The refusal of a value that is not what it has to be.
    pub(crate) fn must_be(&self, expected: impl Display) -> ApiError {
        let text = self.raw.get();
        let given = if text.len() <= MAX_QUOTED_LEN {
            text
        } else {
            self.kind().name()
        };
        ApiError::invalid(
            &self.path,
            format!("`{}` must be {expected}, not {given}.", self.path),
        )
    }

    fn typed<T: DeserializeOwned>(self, expected: &str) -> Result<T, ApiError> {
        serde_json::from_str(self.raw.get()).map_err(|_| self.must_be(expected))
    }

    fn borrowed<T: serde::Deserialize<'a>>(&self, expected: &str) -> Result<T, ApiError> {
        serde_json::from_str(self.raw.get()).map_err(|_| self.must_be(expected))
    }
}

/// A number without a fraction. JSON Schema counts `3.0` among the integers, and clients of languages with one sort of number
/// write them so.
fn whole_number(text: &str) -> Option<i64> {
    /// Up to here a float is as exact as an integer.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    serde_json::from_str(text).ok().or_else(|| {
        let number: f64 = serde_json::from_str(text).ok()?;
        (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
    })
}

/// ` from 0 to 2`, ` above 0`, …
fn describe<T: Display>(range: &impl RangeBounds<T>) -> String {
    let least = match range.start_bound() {
        Bound::Included(least) => format!(" from {least}"),
        Bound::Excluded(least) => format!(" above {least}"),
        Bound::Unbounded => String::new(),
    };
    let most = match range.end_bound() {
        Bound::Included(most) => format!(" to {most}"),
        Bound::Excluded(most) => format!(" below {most}"),
        Bound::Unbounded => String::new(),
    };
    least + &most
}
