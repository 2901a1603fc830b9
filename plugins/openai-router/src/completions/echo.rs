//! `echo`: the prompt stands before its completion, in every choice of it.

use std::ops::Range;

use plugin_sdk::{InferenceRequest, PromptReport};

use super::logprobs::Token;

/// How the prompts of one answer are repeated.
#[derive(Clone, Copy)]
pub(super) struct Echo {
    /// Samples of each prompt.
    n: u32,
    with_logprobs: bool,
}

impl Echo {
    /// Asked for or not: the host reports no prompts where it is not.
    pub(super) fn of(request: &InferenceRequest) -> Echo {
        Echo {
            n: request.n,
            with_logprobs: request.sampling.logprobs.is_some(),
        }
    }

    /// The prompt that a choice completes.
    pub(super) fn input_of(self, choice: u32) -> u32 {
        choice / self.n.max(1)
    }

    /// The choices that complete this prompt.
    pub(super) fn choices(self, prompt: &PromptReport) -> Range<u32> {
        let first = prompt.input.saturating_mul(self.n);
        first..first.saturating_add(self.n)
    }

    /// The prompt's tokens for `logprobs`, if the client wants those.
    pub(super) fn tokens(self, prompt: &PromptReport) -> Vec<Token<'_>> {
        match self.with_logprobs {
            true => prompt.tokens.iter().map(Token::of_prompt).collect(),
            false => Vec::new(),
        }
    }
}
