//! Fields that are known and not supported: any value that asks for something is refused, so that nobody believes to have
//! been heard.

use plugin_sdk::ApiError;

use crate::{body::Object, error::unsupported};

/// A field that nothing here can honour.
pub(crate) struct Unsupported {
    /// As the client spells it.
    pub(crate) name: &'static str,
    /// JSON values that ask for nothing; null is always one.
    pub(crate) harmless: &'static [&'static str],
    /// What is the matter, and what to do instead.
    pub(crate) instead: &'static str,
}

impl Unsupported {
    pub(crate) const fn new(
        name: &'static str,
        harmless: &'static [&'static str],
        instead: &'static str,
    ) -> Self {
        Unsupported {
            name,
            harmless,
            instead,
        }
    }
}

/// Refuses the first field of the table that asks for something.
pub(crate) fn refuse(fields: &Object, table: &[Unsupported]) -> Result<(), ApiError> {
    for field in table {
        let Some(value) = fields.get(field.name) else {
            continue;
        };
        if !field.harmless.iter().any(|harmless| value.equals(harmless)) {
            return Err(unsupported(value.path(), field.instead));
        }
    }
    Ok(())
}

const RENAMED: &str = "it is the old name of a member of `structured_outputs`; use that";
const PLAIN_TEXT: &str = "answers come as plain text; leave it out";

/// The fields that no endpoint supports: OpenAI's, then vLLM's.
pub(super) const EVERYWHERE: &[Unsupported] = &[
    Unsupported::new("guided_json", &[], RENAMED),
    Unsupported::new("guided_regex", &[], RENAMED),
    Unsupported::new("guided_choice", &[], RENAMED),
    Unsupported::new("guided_grammar", &[], RENAMED),
    Unsupported::new(
        "best_of",
        &["0", "1"],
        "only as many answers are drawn as `n` says; use `n`",
    ),
    Unsupported::new(
        "use_beam_search",
        &["false"],
        "answers are sampled; use `temperature` 0 for the likeliest",
    ),
    Unsupported::new("length_penalty", &["1", "1.0"], "it belongs to beam search"),
    Unsupported::new("allowed_token_ids", &[], "use `logit_bias`"),
    Unsupported::new("bad_words", &["[]"], "use `logit_bias`"),
    Unsupported::new(
        "logits_processors",
        &["[]"],
        "clients cannot bring code; use `logit_bias`",
    ),
    Unsupported::new(
        "prompt_logprobs",
        &["false"],
        "log probabilities of prompts are not reported",
    ),
    Unsupported::new(
        "truncate_prompt_tokens",
        &[],
        "prompts are never cut; shorten the prompt",
    ),
    Unsupported::new("skip_special_tokens", &["true"], PLAIN_TEXT),
    Unsupported::new("spaces_between_special_tokens", &["true"], PLAIN_TEXT),
    Unsupported::new(
        "include_stop_str_in_output",
        &["false"],
        "the text ends before the stop string",
    ),
    Unsupported::new("return_token_ids", &["false"], PLAIN_TEXT),
    Unsupported::new("return_tokens_as_token_ids", &["false"], PLAIN_TEXT),
];
