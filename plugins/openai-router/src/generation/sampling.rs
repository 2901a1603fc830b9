//! How tokens are chosen: OpenAI's fields and the ones that vLLM adds, with their ranges.

use std::ops::Bound::{Excluded, Unbounded};

use plugin_sdk::{ApiError, Sampling};

use super::constraint;
use crate::body::{Kind, Object, Value};

/// OpenAI allows 4 stop strings; vLLM's clients send more.
const MAX_STOP_STRINGS: usize = 16;

const U32: std::ops::RangeInclusive<i64> = 0..=u32::MAX as i64;

/// Reads all but `logprobs`, which means different things to the endpoints.
pub(super) fn read(fields: &Object) -> Result<Sampling, ApiError> {
    let sampling = Sampling {
        max_tokens: read_max_tokens(fields)?,
        min_tokens: fields.read("min_tokens", |v| v.integer(U32))?.unwrap_or(0),
        temperature: fields.read("temperature", |v| v.number(0.0..=2.0))?,
        top_p: fields
            .read("top_p", |v| v.number(0.0..=1.0))?
            .map(above_zero),
        // vLLM's clients write -1 for "all", Hugging Face's 0.
        top_k: fields
            .read("top_k", |v| v.integer(-1..=i64::from(u32::MAX)))?
            .map(|k: i64| k.max(0) as u32),
        min_p: fields.read("min_p", |v| v.number(0.0..=1.0))?,
        repetition_penalty: fields.read("repetition_penalty", |v| {
            v.number((Excluded(0.0), Unbounded))
        })?,
        presence_penalty: fields.read("presence_penalty", |v| v.number(-2.0..=2.0))?,
        frequency_penalty: fields.read("frequency_penalty", |v| v.number(-2.0..=2.0))?,
        logit_bias: fields
            .read("logit_bias", read_logit_bias)?
            .unwrap_or_default(),
        seed: fields.read("seed", |v| v.integer(i64::MIN..=i64::MAX))?,
        stop: fields.read("stop", read_stop)?.unwrap_or_default(),
        stop_token_ids: fields
            .read("stop_token_ids", Value::tokens)?
            .unwrap_or_default(),
        ignore_eos: fields.read("ignore_eos", Value::boolean)?.unwrap_or(false),
        logprobs: None,
        constraint: constraint::read(fields)?,
    };
    check_lengths(&sampling)?;
    Ok(sampling)
}

/// Refuses to write more tokens at least than at most.
pub(super) fn check_lengths(sampling: &Sampling) -> Result<(), ApiError> {
    match sampling.max_tokens {
        Some(most) if most < sampling.min_tokens => Err(ApiError::invalid(
            "min_tokens",
            format!(
                "`min_tokens` is {}, more than the {most} tokens that may be generated.",
                sampling.min_tokens
            ),
        )),
        _ => Ok(()),
    }
}

/// The newer of the two names wins. 0 is for those who want the prompt alone, as `echo` gives it.
fn read_max_tokens(fields: &Object) -> Result<Option<u32>, ApiError> {
    let read = |name| fields.read(name, |v| v.integer(U32));
    let older = read("max_tokens")?;
    Ok(read("max_completion_tokens")?.or(older))
}

/// A nucleus of 0, which OpenAI allows, holds the likeliest token alone, and so does the smallest one that the contract
/// allows.
fn above_zero(top_p: f32) -> f32 {
    top_p.max(f32::MIN_POSITIVE)
}

fn read_stop(stop: Value) -> Result<Vec<String>, ApiError> {
    let path = stop.path().to_owned();
    let refusal = |message: String| Err(ApiError::invalid(&path, message));
    let strings = match stop.kind() {
        Kind::String => vec![stop.string()?],
        Kind::List => stop.each(Value::string)?,
        _ => return Err(stop.must_be("a string or a list of strings")),
    };
    if strings.len() > MAX_STOP_STRINGS {
        return refusal(format!(
            "`{path}` has {} strings; at most {MAX_STOP_STRINGS} are allowed.",
            strings.len()
        ));
    }
    if strings.iter().any(String::is_empty) {
        return refusal(format!(
            "`{path}` must not hold an empty string, which every text contains."
        ));
    }
    Ok(strings)
}

fn read_logit_bias(biases: Value) -> Result<Vec<(u32, f32)>, ApiError> {
    let path = biases.path().to_owned();
    let read = |(token, bias): (String, Value)| match token.parse() {
        Ok(id) => Ok((id, bias.number(-100.0..=100.0)?)),
        Err(_) => Err(ApiError::invalid(
            &path,
            format!("The keys of `{path}` must be token ids, such as \"1234\"."),
        )),
    };
    biases.entries()?.into_iter().map(read).collect()
}
