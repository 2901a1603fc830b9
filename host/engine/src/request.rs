//! What goes into the engine and what comes out of it.

use crate::{runner::TokenId, sampling::SamplingParams};

/// How much the engine takes on at once. The names are vLLM's flags.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Sequences that run in one step.
    pub max_num_seqs: usize,
    /// Tokens computed in one step; at least `max_num_seqs`, so that every running sequence moves in every step.
    pub max_num_batched_tokens: usize,
    /// Requests that may wait for a place besides those running; one more is refused.
    pub max_num_queued_reqs: usize,
}

/// One sequence to generate.
#[derive(Clone, Debug)]
pub struct Request {
    /// The prompt; never empty.
    pub prompt: Vec<TokenId>,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// The most tokens to generate; at least 1. The context's end may come first.
    pub max_tokens: usize,
    /// Tokens that end the sequence, the model's own end tokens among them unless they are to be ignored.
    pub stop_token_ids: Vec<TokenId>,
}

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// One of the request's stop tokens was chosen.
    Stop,
    /// `max_tokens` or the model's context was reached.
    Length,
}

/// What a generation reports, in order; the last event is `Finished` or `Failed`.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The next token of the sequence.
    Token(TokenId),
    /// The sequence ended. A stop token is reported here and not as `Token`.
    Finished {
        reason: FinishReason,
        stop_token: Option<TokenId>,
    },
    /// The sequence is lost.
    Failed(GenerationFailed),
}

/// Why a sequence that had begun is lost.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GenerationFailed {
    /// The model could not compute a step in which the sequence took part. It may be tried again.
    #[error("the model failed to compute a step: {0}")]
    Step(String),
    /// The engine ended, by a fault of its runner or because the process shuts down.
    #[error("the engine stopped before the sequence ended")]
    Stopped,
}

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SubmitError {
    /// There is nothing to continue.
    #[error("the prompt has no tokens")]
    EmptyPrompt,
    /// The prompt leaves no room for a single new token.
    #[error(
        "the prompt has {prompt_len} tokens, but the context holds {max_model_len} and one must be left for the answer"
    )]
    PromptTooLong {
        prompt_len: usize,
        max_model_len: usize,
    },
    /// A token id that the model does not have.
    #[error("token id {token} is outside the vocabulary of {vocab_len}")]
    UnknownToken { token: TokenId, vocab_len: usize },
    /// As many requests as allowed are running and waiting; try again later.
    #[error("{limit} requests are running or waiting already")]
    Overloaded { limit: usize },
    /// The engine has ended.
    #[error("the engine has stopped")]
    Stopped,
}
