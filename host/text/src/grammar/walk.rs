use std::fmt;
use std::sync::Arc;

use llguidance::api::StopReason;
use llguidance::{Matcher, TokenParser};

use super::Grammars;
use super::error::{Problem, readable};
use super::watch::Work;

/// What may come next in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// One of these tokens, of which there is at least one: bit `t % 32` of word `t / 32`, for all of the model's logits.
    /// The end tokens are among them if the text may end here.
    Tokens(Vec<u32>),
    /// Nothing: the text is complete, and no end token is needed.
    Complete,
}

/// Where one text is in its form. To be used by one thread at a time, whichever.
pub struct Grammar {
    grammars: Grammars,
    matcher: Matcher,
    work: Arc<Work>,
}

/// Why a text cannot go on.
pub(super) enum Stuck {
    /// It may not end, and no token fits.
    DeadEnd,
    Failed(Problem),
}

impl Grammar {
    pub(super) fn new(grammars: Grammars, parser: TokenParser) -> Self {
        Self::watched(grammars, Matcher::new(Ok(parser)).into_cancellable())
    }

    fn watched(grammars: Grammars, matcher: Matcher) -> Self {
        let handle = matcher.cancellation_handle().unwrap_or_default();
        let work = grammars.0.watch.add(handle);
        Self {
            grammars,
            matcher,
            work,
        }
    }

    /// What may come next. Fails where the text has led into a dead end, and where it takes too much work to tell.
    pub fn allowed(&mut self) -> Result<Allowed, String> {
        self.next().map_err(|stuck| match stuck {
            Stuck::DeadEnd => "no token continues the text in its form".to_owned(),
            Stuck::Failed(problem) => problem.into_reason(),
        })
    }

    /// Appends a token, one of those allowed. After an error, all that follows fails, too.
    pub fn advance(&mut self, token: u32) -> Result<(), String> {
        self.consume(token).map_err(Problem::into_reason)
    }

    pub(super) fn consume(&mut self, token: u32) -> Result<(), Problem> {
        self.work
            .step(|| self.matcher.consume_token(token))
            .map_err(readable)
    }

    pub(super) fn next(&mut self) -> Result<Allowed, Stuck> {
        if let StopReason::NoExtension | StopReason::EndOfSentence = self.matcher.stop_reason() {
            return Ok(Allowed::Complete);
        }
        let vocabulary = &self.grammars.0.vocabulary;
        let (may_end, mask) = self
            .work
            .step(|| (self.matcher.is_accepting(), self.matcher.compute_mask()));
        let mut mask = match mask {
            Ok(mask) => vocabulary.text_of(mask.as_slice()),
            Err(error) if error.to_string().starts_with("NoExtensionBias") => {
                return Err(Stuck::DeadEnd);
            }
            Err(error) => return Err(Stuck::Failed(readable(error))),
        };
        let may_end = may_end.map_err(|error| Stuck::Failed(readable(error)))?;
        match (mask.iter().any(|&word| word != 0), may_end) {
            (false, false) => Err(Stuck::DeadEnd),
            (false, true) => Ok(Allowed::Complete),
            (true, false) => Ok(Allowed::Tokens(mask)),
            (true, true) => {
                vocabulary.add_ends(&mut mask);
                Ok(Allowed::Tokens(mask))
            }
        }
    }
}

impl Clone for Grammar {
    /// A text at the same place that goes on for itself. The library's plain clones would wait for each other.
    fn clone(&self) -> Self {
        Self::watched(self.grammars.clone(), self.matcher.deep_clone())
    }
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammar").finish_non_exhaustive()
    }
}
