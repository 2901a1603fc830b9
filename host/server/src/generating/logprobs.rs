//! How likely a token was, in the words of the contract with plugins.

use engine::{ChosenToken, TokenId};
use sandbox::{PositionLogprobs, TokenLogprob};
use text::Tokenizer;

/// The chosen token and its rivals; `None` where the request does not ask.
pub(super) fn position(tokenizer: &Tokenizer, token: &ChosenToken) -> Option<PositionLogprobs> {
    let logprobs = token.logprobs.as_deref()?;
    let named = |id: TokenId, logprob| TokenLogprob {
        id,
        bytes: tokenizer.bytes(id).unwrap_or_default().to_vec(),
        logprob,
    };
    let top = logprobs.top.iter();
    Some(PositionLogprobs {
        chosen: named(token.id, logprobs.chosen),
        top: top.map(|&(id, logprob)| named(id, logprob)).collect(),
    })
}
