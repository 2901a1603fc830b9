//! What a model's files say of prompts and answers: end tokens, chat template, preferred sampling.

mod gguf;
mod huggingface;

pub(crate) use gguf::take_vocab;

/// Sampling that the model's makers recommend (`generation_config.json`); `None` where they say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GenerationDefaults {
    /// 0 is greedy.
    pub temperature: Option<f32>,
    /// Nucleus probability mass in (0, 1].
    pub top_p: Option<f32>,
    /// How many of the likeliest tokens stay; 0 is off.
    pub top_k: Option<usize>,
    /// Least probability relative to the likeliest token, in [0, 1].
    pub min_p: Option<f32>,
}

/// What a model's files say of prompts and answers.
#[derive(Clone, Debug, Default)]
pub struct ChatFiles {
    /// Tokens that end an answer, ascending.
    pub eos_token_ids: Vec<u32>,
    /// The text of the token that begins a sequence.
    pub bos_token: Option<String>,
    /// The text of the token that ends a turn.
    pub eos_token: Option<String>,
    /// The Jinja template of conversations.
    pub chat_template: Option<String>,
    /// Recommended sampling.
    pub generation: GenerationDefaults,
}
