//! Short ways to make the contract's larger records, for routers and for tests.

use crate::{
    Conversation, EmbeddingRequest, Header, InferenceRequest, Input, Message, Prompt, Response,
    Sampling, TokenizeRequest, ToolChoice, Usage,
};

impl Header {
    /// A header; `name` in lower case.
    pub fn new(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Header {
        Header {
            name: name.into(),
            value: value.into(),
        }
    }
}

impl Response {
    /// An answer of type `application/json`.
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Response {
        Response {
            status,
            headers: vec![Header::new("content-type", "application/json")],
            body: body.into(),
        }
    }
}

impl Message {
    /// A turn that is only text.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message {
            role: role.into(),
            content: Some(content.into()),
            reasoning: None,
            name: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }
}

impl Conversation {
    /// A conversation without tools, whose next turn is the assistant's.
    pub fn new(messages: Vec<Message>) -> Conversation {
        Conversation {
            messages,
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            parallel_tool_calls: true,
            add_generation_prompt: true,
            continue_final_message: false,
            template_variables: None,
        }
    }
}

impl InferenceRequest {
    /// A request for one sample of each input, everything else left to the server.
    pub fn new(model: impl Into<String>, inputs: Vec<Input>) -> InferenceRequest {
        InferenceRequest {
            model: model.into(),
            inputs,
            n: 1,
            sampling: Sampling::default(),
            stream: false,
            echo: false,
            priority: 0,
            cache_salt: None,
        }
    }
}

impl EmbeddingRequest {
    /// A request for the vectors of these inputs, pooled as the server does by default.
    pub fn new(model: impl Into<String>, inputs: Vec<Input>) -> EmbeddingRequest {
        EmbeddingRequest {
            model: model.into(),
            inputs,
            pooling: None,
            priority: 0,
            cache_salt: None,
        }
    }
}

impl TokenizeRequest {
    /// A request for the tokens of these inputs, as the model would read them.
    pub fn new(model: impl Into<String>, inputs: Vec<Input>) -> TokenizeRequest {
        TokenizeRequest {
            model: model.into(),
            inputs,
            add_special_tokens: true,
        }
    }
}

impl Prompt {
    /// A prompt that any text may follow.
    pub fn new(text: impl Into<String>) -> Prompt {
        Prompt {
            text: text.into(),
            constraint: None,
        }
    }
}

/// Everything absent or off: the server's defaults.
impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            max_tokens: None,
            min_tokens: 0,
            temperature: None,
            top_p: None,
            top_k: None,
            min_p: None,
            repetition_penalty: None,
            presence_penalty: None,
            frequency_penalty: None,
            logit_bias: Vec::new(),
            seed: None,
            stop: Vec::new(),
            stop_token_ids: Vec::new(),
            ignore_eos: false,
            logprobs: None,
            constraint: None,
        }
    }
}

/// Nothing counted yet.
impl Default for Usage {
    fn default() -> Usage {
        Usage {
            prompt_tokens: 0,
            completion_tokens: 0,
            cached_tokens: 0,
            reasoning_tokens: 0,
        }
    }
}
