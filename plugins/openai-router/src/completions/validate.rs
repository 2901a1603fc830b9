//! Why a completion request is refused, besides wrong types and ranges.

use plugin_sdk::ApiError;

use crate::{
    body::Object,
    generation::{Unsupported, refuse},
    prompts::Prompts,
};

/// The most choices of one answer. A megabyte of empty prompts would otherwise ask for a hundred million.
const MAX_CHOICES: usize = 2048;

/// The fields that completions know and do not support.
const UNSUPPORTED: &[Unsupported] = &[
    Unsupported::new("suffix", &[r#""""#], "text is only continued at its end"),
    Unsupported::new(
        "add_special_tokens",
        &["true"],
        "send token ids as the prompt for full control",
    ),
];

/// Refuses fields that ask for what completions cannot do.
pub(super) fn check_support(fields: &Object) -> Result<(), ApiError> {
    refuse(fields, UNSUPPORTED)
}

/// Refuses more choices than one answer can have. Returns how many choices the answer will have.
pub(super) fn check(prompts: &Prompts, n: u32) -> Result<usize, ApiError> {
    let num_choices = prompts.len().saturating_mul(n as usize);
    if num_choices > MAX_CHOICES {
        let message = format!(
            "`prompt` and `n` ask for {num_choices} choices; at most {MAX_CHOICES} are allowed."
        );
        return Err(ApiError::invalid("prompt", message));
    }
    Ok(num_choices)
}
