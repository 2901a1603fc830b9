//! Log probabilities as chat wraps them.

use plugin_sdk::PositionLogprobs;
use serde::Serialize;

use crate::logprobs::Entries;

/// `choices[].logprobs`.
#[derive(Serialize)]
pub(super) struct Logprobs<'a> {
    content: Entries<'a>,
    refusal: (),
}

impl<'a> Logprobs<'a> {
    /// Of these tokens; nothing if there are none.
    pub(super) fn of(content: &'a [PositionLogprobs]) -> Option<Logprobs<'a>> {
        (!content.is_empty()).then_some(Logprobs {
            content: Entries(content),
            refusal: (),
        })
    }
}
