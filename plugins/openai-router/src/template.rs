//! The variables of the chat template that a request sets.

use std::collections::BTreeMap;

use plugin_sdk::{ApiError, Json};
use serde_json::value::RawValue;

use crate::body::{Object, Value};

/// What a request has to say to the template.
#[derive(Debug)]
pub(crate) struct Variables<'a> {
    given: Option<&'a RawValue>,
    reasoning_effort: Option<&'a RawValue>,
}

impl<'a> Variables<'a> {
    /// Reads `chat_template_kwargs`. Each endpoint has a place of its own for the effort.
    pub(crate) fn read(
        fields: &Object<'a>,
        reasoning_effort: Option<&'a RawValue>,
    ) -> Result<Variables<'a>, ApiError> {
        Ok(Variables {
            given: fields.read("chat_template_kwargs", |v| {
                let raw = v.raw();
                v.object().map(|_| raw)
            })?,
            reasoning_effort,
        })
    }

    /// The client's variables as it wrote them. The effort becomes one of them, as the templates that know it expect.
    pub(crate) fn json(&self) -> Option<Json> {
        let Some(effort) = self.reasoning_effort else {
            return self.given.map(|variables| variables.get().to_owned());
        };
        let given = self.given.map_or("{}", RawValue::get);
        let mut variables: BTreeMap<String, &RawValue> = serde_json::from_str(given).ok()?;
        variables
            .entry("reasoning_effort".to_owned())
            .or_insert(effort);
        serde_json::to_string(&variables).ok()
    }
}

/// An effort, which may be any word: templates differ in those that they know.
pub(crate) fn read_effort(effort: Value<'_>) -> Result<&RawValue, ApiError> {
    let raw = effort.raw();
    effort.string().map(|_| raw)
}
