//! Requests in the engine's terms.

use super::{Conversation, MODEL, record, variant};

variant!(
    /// What the model is to continue.
    Input { } { Chat(Conversation), Text(String), Tokens(Vec<u32>) }
);

variant!(
    /// The form that an answer must have.
    Constraint { JsonObject } { JsonSchema(String), Regex(String), Lark(String) }
);

record!(
    /// How tokens are chosen.
    #[derive(Default)]
    #[serde(default)]
    Sampling {
        max_tokens: Option<u32>,
        min_tokens: u32,
        temperature: Option<f32>,
        top_p: Option<f32>,
        top_k: Option<u32>,
        min_p: Option<f32>,
        repetition_penalty: Option<f32>,
        presence_penalty: Option<f32>,
        frequency_penalty: Option<f32>,
        logit_bias: Vec<(u32, f32)>,
        seed: Option<i64>,
        stop: Vec<String>,
        stop_token_ids: Vec<u32>,
        ignore_eos: bool,
        logprobs: Option<u32>,
        constraint: Option<Constraint>,
    }
);

record!(
    /// What routers and shapers agree on.
    #[serde(default)]
    InferenceRequest {
        model: String,
        inputs: Vec<Input>,
        n: u32,
        sampling: Sampling,
        stream: bool,
        echo: bool,
        priority: i32,
        cache_salt: Option<String>,
    }
);

variant!(
    /// How the vectors of a prompt's tokens become one.
    Pooling { Last, Mean } { }
);

record!(
    /// Inputs to be turned into vectors.
    EmbeddingRequest {
        model: String,
        inputs: Vec<Input>,
        pooling: Option<Pooling>,
        priority: i32,
        cache_salt: Option<String>,
    }
);

record!(
    /// Inputs whose tokens are asked for.
    TokenizeRequest {
        model: String,
        inputs: Vec<Input>,
        add_special_tokens: bool,
    }
);

variant!(
    /// What a router wants done.
    #[expect(clippy::large_enum_variant, reason = "a case has one of them")]
    Task { } {
        Generate(InferenceRequest),
        Embed(EmbeddingRequest),
        Tokenize(TokenizeRequest)
    }
);

impl Default for InferenceRequest {
    /// One answer to a greeting.
    fn default() -> Self {
        InferenceRequest {
            model: MODEL.into(),
            inputs: vec![Input::Chat(Conversation::default())],
            n: 1,
            sampling: Sampling::default(),
            stream: false,
            echo: false,
            priority: 0,
            cache_salt: None,
        }
    }
}
