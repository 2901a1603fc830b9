//! What goes into the engine and what comes out of it.

use std::time::Instant;

use crate::{
    block::{CacheScope, Caching},
    constraint::Constraint,
    runner::TokenId,
    sampling::{ChosenToken, InvalidParam, SamplingParams},
};

/// The most samples of one prompt.
pub const MAX_SAMPLES: usize = 128;

/// How much the engine takes on at once, and how it goes about it. The names are vLLM's flags where it has one.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Sequences that run in one step.
    pub max_num_seqs: usize,
    /// Tokens computed in one step; at least `max_num_seqs`, so that every running sequence moves in every step.
    pub max_num_batched_tokens: usize,
    /// Sequences that may wait for a place besides those running; one more is refused.
    pub max_num_queued_reqs: usize,
    /// Who goes first.
    pub scheduling: Scheduling,
    /// Whether prompts are looked up in the cache.
    pub prefix_caching: Caching,
    /// Whether a step is planned and launched before the one before it has been read.
    pub overlap: Overlap,
    /// Guesses per sequence and step, made by prompt lookup; 0: none. Guesses are made from tokens that have been read, so
    /// steps are not overlapped then.
    pub num_draft_tokens: usize,
    /// Threads that move constraints on.
    pub num_constraint_threads: usize,
    /// Names the model in the hashes of cached blocks.
    pub model: String,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            max_num_seqs: 16,
            max_num_batched_tokens: 256,
            max_num_queued_reqs: 256,
            scheduling: Scheduling::Fcfs,
            prefix_caching: Caching::On,
            overlap: Overlap::On,
            num_draft_tokens: 0,
            num_constraint_threads: 1,
            model: String::new(),
        }
    }
}

/// In which order sequences are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduling {
    /// First come, first served. A request with another priority than 0 is refused.
    Fcfs,
    /// By the request's priority, lower numbers first; among equals first come, first served.
    Priority,
}

/// Which loop the engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Step N+1 is launched before step N is read. A sequence whose end shows only in its tokens costs one row too many.
    On,
    /// Each step is read before the next is planned.
    Off,
}

/// A prompt to continue.
#[derive(Default)]
pub struct Request {
    /// The prompt; never empty.
    pub prompt: Vec<TokenId>,
    /// How tokens are chosen. Sample `i` has the seed `sampling.seed + i`.
    pub sampling: SamplingParams,
    /// The most tokens to generate; at least 1. The context's end may come first.
    pub max_tokens: usize,
    /// Under [`Scheduling::Priority`], requests with a lower number go first.
    pub priority: i32,
    /// When the request is given up, however far it is.
    pub deadline: Option<Instant>,
    /// With whom it may share keys and values.
    pub scope: CacheScope,
    /// The form that each sample must have.
    pub constraint: Option<Box<dyn Constraint>>,
    /// Reports how likely each token of the prompt after the first was, with so many of the likeliest in its place, at most
    /// [`MAX_LOGPROBS`](crate::sampling::MAX_LOGPROBS); `None`: not at all. Such a prompt is computed whole, whatever of it is
    /// cached, and reported once: with the first sample.
    pub prompt_logprobs: Option<usize>,
}

/// A text to be made a vector of.
#[derive(Clone, Debug, Default)]
pub struct EmbeddingRequest {
    /// The text; never empty. It may fill the context.
    pub tokens: Vec<TokenId>,
    /// What becomes of the hidden states of its tokens.
    pub pooling: Pooling,
    /// As a [`Request`]'s.
    pub priority: i32,
    /// When the request is given up, however far it is.
    pub deadline: Option<Instant>,
    /// With whom it may share keys and values.
    pub scope: CacheScope,
}

/// How the hidden states of a text, each after the model's last norm, become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooling {
    /// That of the last token. A beginning that is cached is not computed again.
    #[default]
    Last,
    /// The mean of all of them, which all have to be computed.
    Mean,
}

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// One of the request's stop tokens was chosen, or its constraint is complete.
    Stop,
    /// `max_tokens` or the model's context was reached.
    Length,
}

/// What a generation reports, in order; the last event is `Finished` or `Failed`.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The sequence runs. Comes once, before all tokens.
    Started {
        /// Tokens of its prompt whose keys and values were there already.
        cached_len: usize,
    },
    /// How likely the next tokens of the prompt were, given those before them: from the second token on, in order, in one
    /// or several parts, all before the first `Token`. Only where the request asks for it.
    Prompt(Vec<ChosenToken>),
    /// The next token of the sequence.
    Token(ChosenToken),
    /// The sequence ended. A stop token is reported here and not as `Token`.
    Finished {
        reason: FinishReason,
        stop_token: Option<ChosenToken>,
    },
    /// The sequence is lost.
    Failed(GenerationFailed),
}

/// Why a sequence that was taken on is lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerationFailed {
    /// The model could not compute the sequence's part of a step. It may be tried again.
    #[error("the model failed to compute a step: {0}")]
    Step(String),
    /// The constraint could not say what comes next.
    #[error("the answer cannot be held to its form: {0}")]
    Constraint(String),
    /// It took longer than the request allows.
    #[error("the request's deadline passed before its end")]
    DeadlineExceeded,
    /// The engine ended, by a fault of its runner or because the process shuts down.
    #[error("the engine stopped before the sequence ended")]
    Stopped,
}

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
    /// A text to be made a vector of that is longer than the context.
    #[error("the input has {input_len} tokens, but the context holds {max_model_len}: shorten it")]
    InputTooLong {
        input_len: usize,
        max_model_len: usize,
    },
    /// A token id that the model does not have.
    #[error("token id {token} is outside the vocabulary of {vocab_len}")]
    UnknownToken { token: TokenId, vocab_len: usize },
    /// A parameter out of its range.
    #[error(transparent)]
    InvalidParam(#[from] InvalidParam),
    /// As many sequences as allowed are running and waiting; try again later.
    #[error(
        "the server runs or queues at most {limit} sequences and has no room for {asked} more now"
    )]
    Overloaded { asked: usize, limit: usize },
    /// The engine has ended.
    #[error("the engine has stopped")]
    Stopped,
}
