//! What all endpoints that generate are asked alike: which model, how many answers, streamed or not, sampled how.

mod constraint;
mod sampling;
mod unsupported;

use plugin_sdk::{ApiError, Constraint, InferenceRequest, Input, Sampling, ServerInfo};

use crate::{
    body::{Object, Value},
    models,
};

pub(crate) use constraint::read_text_format;
pub(crate) use unsupported::{Unsupported, refuse};

/// The most samples of one input, as in OpenAI's schema.
const MAX_SAMPLES: i64 = 128;

/// The longest salt in bytes, by the contract.
const MAX_CACHE_SALT_LEN: usize = 256;

/// The fields that they have in common.
#[derive(Debug)]
pub(crate) struct Generation {
    /// A served name.
    pub(crate) model: String,
    /// Samples per input.
    pub(crate) n: u32,
    /// Absent: the answer is sent whole.
    pub(crate) stream: Option<StreamOptions>,
    pub(crate) priority: i32,
    pub(crate) cache_salt: Option<String>,
    pub(crate) sampling: Sampling,
    /// The field that says which form the answer must have.
    pub(crate) form_field: &'static str,
}

/// What a stream carries besides the answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StreamOptions {
    /// `usage: null` in every chunk, and a last chunk with the totals.
    pub(crate) include_usage: bool,
    /// The running totals in every chunk.
    pub(crate) continuous_usage: bool,
}

impl Generation {
    /// Reads the fields, and refuses what no endpoint supports.
    pub(crate) fn read(fields: &Object, server: &ServerInfo) -> Result<Generation, ApiError> {
        let model = fields.need("model", Value::string)?;
        models::served(&server.models, &model)?;
        refuse(fields, unsupported::EVERYWHERE)?;
        check_hints(fields)?;
        Ok(Generation {
            model,
            n: fields
                .read("n", |n| n.integer(1..=MAX_SAMPLES))?
                .unwrap_or(1),
            stream: read_stream(fields)?,
            priority: read_priority(fields)?,
            cache_salt: fields.read("cache_salt", read_cache_salt)?,
            sampling: sampling::read(fields)?,
            form_field: constraint::field(fields),
        })
    }

    /// Takes the limit of an endpoint that has its own name for it.
    pub(crate) fn limit(&mut self, max_tokens: Option<u32>) -> Result<(), ApiError> {
        self.sampling.max_tokens = max_tokens;
        sampling::check_lengths(&self.sampling)
    }

    /// Takes a form that was asked for in `field`, of an endpoint that has its own place for it.
    pub(crate) fn form(&mut self, field: &'static str, form: Constraint) -> Result<(), ApiError> {
        if self.sampling.constraint.is_some() {
            return Err(constraint::twice(field));
        }
        self.form_field = field;
        self.sampling.constraint = Some(form);
        Ok(())
    }

    /// The request for the engine.
    pub(crate) fn into_request(self, inputs: Vec<Input>) -> InferenceRequest {
        InferenceRequest {
            model: self.model,
            inputs,
            n: self.n,
            sampling: self.sampling,
            stream: self.stream.is_some(),
            echo: false,
            priority: self.priority,
            cache_salt: self.cache_salt,
        }
    }
}

fn read_stream(fields: &Object) -> Result<Option<StreamOptions>, ApiError> {
    let stream = fields.read("stream", Value::boolean)?.unwrap_or(false);
    let options = fields.read("stream_options", |options| {
        let options = options.object()?;
        // Obfuscation pads chunks against eavesdroppers who measure them; nobody's answer depends on it.
        options.read("include_obfuscation", Value::boolean)?;
        Ok(StreamOptions {
            include_usage: options
                .read("include_usage", Value::boolean)?
                .unwrap_or(false),
            continuous_usage: options
                .read("continuous_usage_stats", Value::boolean)?
                .unwrap_or(false),
        })
    })?;
    if options.is_some() && !stream {
        return Err(ApiError::invalid(
            "stream_options",
            "`stream_options` is only allowed with `stream`: true.",
        ));
    }
    Ok(stream.then(|| options.unwrap_or_default()))
}

/// Lower goes first; 0 is normal.
pub(crate) fn read_priority(fields: &Object) -> Result<i32, ApiError> {
    let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
    let priority = fields.read("priority", |p| p.integer(range))?;
    Ok(priority.unwrap_or(0))
}

pub(crate) fn read_cache_salt(salt: Value) -> Result<String, ApiError> {
    let path = salt.path().to_owned();
    let salt = salt.string()?;
    if (1..=MAX_CACHE_SALT_LEN).contains(&salt.len()) {
        return Ok(salt);
    }
    let message = format!(
        "`{path}` has {} bytes; it must have from 1 to {MAX_CACHE_SALT_LEN}.",
        salt.len()
    );
    Err(ApiError::invalid(path, message))
}

/// Fields that say who asks, or how OpenAI should bill and store: the answer does not depend on them, so they are only
/// checked for their type.
pub(crate) fn check_hints(fields: &Object) -> Result<(), ApiError> {
    for name in [
        "user",
        "safety_identifier",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_retention",
    ] {
        fields.read(name, Value::string)?;
    }
    for name in ["metadata", "prompt_cache_options"] {
        fields.read(name, Value::object)?;
    }
    fields.read("store", Value::boolean)?;
    Ok(())
}
