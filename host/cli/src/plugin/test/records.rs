//! The contract's records as JSON: the generated types cannot be read or written by serde, so each has a twin here with the same
//! fields. What is left out of a case has the value that a client would leave to the server.

mod bytes;
mod conversation;
mod error;
mod event;
mod model_template;
mod request;

use serde_json::Value;

pub(super) use bytes::{Bytes, Header};
pub(super) use conversation::{Conversation, Message, Tool};
pub(super) use error::ApiError;
pub(super) use event::{ChoiceLogprobs, Delta, Event, PositionLogprobs, TokenLogprob, Usage};
pub(super) use model_template::ModelTemplate;
pub(super) use request::{Constraint, InferenceRequest, Input, Sampling, Task};

/// The name of the model that stands in for the server's.
pub(super) const MODEL: &str = "mock-model";

/// A twin of the host's type `H`.
pub(super) trait Twin<H> {
    /// Reads the host's.
    fn of(host: H) -> Self;
    /// Makes the host's.
    fn into_host(self) -> H;
}

impl<H, T: Twin<H>> Twin<Vec<H>> for Vec<T> {
    fn of(host: Vec<H>) -> Self {
        host.into_iter().map(T::of).collect()
    }

    fn into_host(self) -> Vec<H> {
        self.into_iter().map(T::into_host).collect()
    }
}

impl<H, T: Twin<H>> Twin<Option<H>> for Option<T> {
    fn of(host: Option<H>) -> Self {
        host.map(T::of)
    }

    fn into_host(self) -> Option<H> {
        self.map(T::into_host)
    }
}

/// Types that are their own twins.
macro_rules! same {
    ($($type:ty),*) => {$(
        impl Twin<$type> for $type {
            fn of(host: $type) -> Self {
                host
            }

            fn into_host(self) -> $type {
                self
            }
        }
    )*};
}

same!(String, bool, u16, u32, i32, i64, u64, f32, (u32, f32));

/// The twin of a record with all of its fields.
macro_rules! record {
    ($(#[$meta:meta])* $name:ident { $($(#[$of_field:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        $(#[$meta])*
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name { $($(#[$of_field])* pub(crate) $field: $type,)* }

        impl $crate::plugin::test::records::Twin<sandbox::$name> for $name {
            fn of(host: sandbox::$name) -> Self {
                Self { $($field: $crate::plugin::test::records::Twin::of(host.$field),)* }
            }

            fn into_host(self) -> sandbox::$name {
                sandbox::$name { $($field: $crate::plugin::test::records::Twin::into_host(self.$field),)* }
            }
        }
    };
}

/// The twin of an enum: its cases without a value, then those with one.
macro_rules! variant {
    ($(#[$meta:meta])* $name:ident { $($bare:ident),* } { $($case:ident($type:ty)),* }) => {
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        $(#[$meta])*
        #[serde(rename_all = "snake_case")]
        pub(crate) enum $name { $($bare,)* $($case($type),)* }

        impl $crate::plugin::test::records::Twin<sandbox::$name> for $name {
            fn of(host: sandbox::$name) -> Self {
                match host {
                    $(sandbox::$name::$bare => Self::$bare,)*
                    $(sandbox::$name::$case(value) => Self::$case($crate::plugin::test::records::Twin::of(value)),)*
                }
            }

            fn into_host(self) -> sandbox::$name {
                match self {
                    $(Self::$bare => sandbox::$name::$bare,)*
                    $(Self::$case(value) => sandbox::$name::$case($crate::plugin::test::records::Twin::into_host(value)),)*
                }
            }
        }
    };
}

use {record, variant};

/// A value as it stands in `expected.json`: without what is absent. By way of text, where a number of 32 bits is as short as its
/// author wrote it.
pub(super) fn snapshot(value: &impl serde::Serialize) -> Value {
    let text = serde_json::to_string(value).unwrap_or_default();
    without_nulls(serde_json::from_str(&text).unwrap_or_default())
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(name, member)| (name, without_nulls(member)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_all_kinds_of_fields_goes_to_the_host_and_back() {
        let text = r#"{"model": "m", "inputs": [{"chat": {"messages": [{"role": "user", "content": "hi"}],
            "tools": [{"name": "f", "definition": "{}"}], "tool_choice": {"named": "f"}}}, {"tokens": [1, 2]}, {"text": "t"}],
            "n": 2, "sampling": {"temperature": 0.7, "logit_bias": [[5, -1.5]], "constraint": {"regex": "a*"}}}"#;
        let request: InferenceRequest = serde_json::from_str(text).unwrap();
        let before = snapshot(&request);
        let host: sandbox::InferenceRequest = request.into_host();
        assert_eq!(host.sampling.temperature, Some(0.7));
        assert_eq!(snapshot(&InferenceRequest::of(host)), before);
        assert_eq!(before["sampling"]["temperature"].to_string(), "0.7");
        assert_eq!(before["cache_salt"], Value::Null);
    }

    #[test]
    fn a_misspelt_field_is_refused_by_its_name() {
        let error = serde_json::from_str::<InferenceRequest>(r#"{"modell": "m"}"#).unwrap_err();
        assert!(error.to_string().contains("modell"), "{error}");
    }
}
