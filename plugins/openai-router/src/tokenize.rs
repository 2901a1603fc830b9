//! `POST /tokenize` and `POST /detokenize`, as vLLM has them.

use plugin_sdk::{
    ApiError, Event, Header, Input, ModelCard, Outcome, PromptToken, Reply, ServerInfo, Task,
    TokenizeRequest, Usage,
};
use serde::Serialize;

use crate::{
    answer::{Answer, json, json_headers},
    body::{self, Object, Value},
    chat,
    error::{ErrorBody, malformed},
    logprobs::text,
    models,
};

/// Reads a request for the tokens of a text or of a conversation, and prepares its answer.
pub(crate) fn parse(body: &[u8], server: &ServerInfo) -> Result<Outcome<Answer>, ApiError> {
    let fields = body::parse(body)?;
    let card = read_model(&fields, server)?;
    let input = match (fields.get("prompt"), fields.get("messages")) {
        (Some(prompt), None) => Input::Text(prompt.string()?),
        (None, Some(_)) => Input::Chat(chat::read_conversation(&fields)?),
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid(
                "messages",
                "`messages` and `prompt` exclude each other; send one of them.",
            ));
        }
        (None, None) => return Err(ApiError::invalid("prompt", "`prompt` is missing.")),
    };
    // A conversation's template writes them.
    let adds_by_default = matches!(input, Input::Text(_));
    let adds = fields
        .read("add_special_tokens", Value::boolean)?
        .unwrap_or(adds_by_default);
    if adds && !adds_by_default {
        return Err(ApiError::invalid(
            "add_special_tokens",
            "`add_special_tokens` is not supported for `messages`, whose template writes them.",
        ));
    }
    let tokens = Tokens {
        max_model_len: card.max_model_len,
        with_texts: fields
            .read("return_token_strs", Value::boolean)?
            .unwrap_or(false),
        tokens: Vec::new(),
    };
    let request = TokenizeRequest {
        add_special_tokens: adds,
        ..TokenizeRequest::new(&card.id, vec![input])
    };
    Ok(Outcome::Run(
        Task::Tokenize(request),
        Answer::new(tokens, []),
    ))
}

/// Reads a request for the text of tokens, and prepares its answer.
pub(crate) fn parse_detokenize(
    body: &[u8],
    server: &ServerInfo,
) -> Result<Outcome<Answer>, ApiError> {
    let fields = body::parse(body)?;
    let card = read_model(&fields, server)?;
    let tokens = fields.need("tokens", Value::tokens)?;
    let request = TokenizeRequest::new(&card.id, vec![Input::Tokens(tokens)]);
    Ok(Outcome::Run(
        Task::Tokenize(request),
        Answer::new(Text::default(), []),
    ))
}

/// Unlike OpenAI's endpoints, these have a default.
fn read_model<'a>(fields: &Object, server: &'a ServerInfo) -> Result<&'a ModelCard, ApiError> {
    match fields.read("model", Value::string)? {
        Some(name) => models::served(&server.models, &name),
        None => server
            .models
            .first()
            .ok_or_else(|| malformed("This server serves no model.")),
    }
}

/// Collects the tokens of a prompt.
struct Tokens {
    max_model_len: u32,
    with_texts: bool,
    tokens: Vec<PromptToken>,
}

#[derive(Serialize)]
struct TokensBody<'a> {
    count: usize,
    max_model_len: u32,
    tokens: Vec<u32>,
    token_strs: Option<Vec<std::borrow::Cow<'a, str>>>,
}

impl Reply for Tokens {
    fn headers(&self) -> Vec<Header> {
        json_headers()
    }

    fn push(&mut self, events: Vec<Event>) -> Vec<u8> {
        for event in events {
            if let Event::Prompt(prompt) = event {
                self.tokens = prompt.tokens;
            }
        }
        Vec::new()
    }

    fn finish(&mut self, _: Usage) -> Vec<u8> {
        let texts = || self.tokens.iter().map(|token| text(&token.bytes)).collect();
        json(&TokensBody {
            count: self.tokens.len(),
            max_model_len: self.max_model_len,
            tokens: self.tokens.iter().map(|token| token.id).collect(),
            token_strs: self.with_texts.then(texts),
        })
    }

    fn fail(&mut self, error: ApiError) -> Vec<u8> {
        json(&ErrorBody::from(&error))
    }
}

/// Keeps the text of tokens.
#[derive(Default, Serialize)]
struct Text {
    prompt: String,
}

impl Reply for Text {
    fn headers(&self) -> Vec<Header> {
        json_headers()
    }

    fn push(&mut self, events: Vec<Event>) -> Vec<u8> {
        for event in events {
            if let Event::Prompt(prompt) = event {
                self.prompt = prompt.text;
            }
        }
        Vec::new()
    }

    fn finish(&mut self, _: Usage) -> Vec<u8> {
        json(self)
    }

    fn fail(&mut self, error: ApiError) -> Vec<u8> {
        json(&ErrorBody::from(&error))
    }
}
