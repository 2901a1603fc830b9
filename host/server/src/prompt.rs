//! From a request's input to the tokens of its prompt.

use engine::{CacheScope, SubmitError};
use http::StatusCode;
use sandbox::{
    ApiError, Constraint, Input, Parser, PluginSet, PromptReport, PromptToken, TemplateInstance,
};
use tracing::{Instrument, Span};

use crate::{
    app::App,
    error::{self, coded, invalid, overloaded, refusal},
    pipeline::Arrival,
    trace,
};

/// A prompt, what must come after it, and who reads the model's answers to it.
pub(crate) struct Prompt {
    pub(crate) tokens: Vec<u32>,
    /// As it was sent or rendered; absent where tokens were sent.
    pub(crate) text: Option<String>,
    /// The form of the answer that the conversation itself asks for.
    pub(crate) constraint: Option<Constraint>,
    /// One for each sample of a conversation: only answers to those have reasoning and tool calls in them.
    pub(crate) parsers: Vec<Parser>,
    /// The client's field that the prompt came from, to be named where it is refused.
    pub(crate) param: &'static str,
}

/// What stands around a plain text. Templates write it themselves.
#[derive(Clone, Copy)]
pub(crate) enum Around {
    /// What the model's tokenizer puts there.
    AsTokenizer,
    Nothing,
}

/// Which field of the client's request an input came from.
fn param_of(input: &Input) -> &'static str {
    match input {
        Input::Chat(_) => "messages",
        Input::Text(_) | Input::Tokens(_) => "prompt",
    }
}

/// Renders a conversation, tokenises a text, takes tokens as they are. The first conversation of a request starts the
/// template's instance, which the others and the parsers of all `num_samples` answers to each share.
pub(crate) async fn read(
    app: &App,
    plugins: &PluginSet,
    model: &str,
    input: &Input,
    around: Around,
    num_samples: u32,
    template: &mut Option<TemplateInstance>,
    arrival: &Arrival,
) -> Result<Prompt, ApiError> {
    let param = param_of(input);
    let failed = |error: sandbox::PluginError| error::of_plugin(&error);
    match input {
        Input::Chat(conversation) => {
            let instance = match template {
                Some(instance) => instance,
                None => template.insert(
                    plugins
                        .template
                        .start(&arrival.request_id)
                        .await
                        .map_err(failed)?,
                ),
            };
            let sandbox::Prompt { text, constraint } = instance
                .render(&app.model_template(model), conversation)
                .instrument(trace::render(&arrival.span))
                .await
                .map_err(failed)??;
            let mut parsers = Vec::new();
            for _ in 0..num_samples {
                parsers.push(instance.parser(conversation, &text).await.map_err(failed)?);
            }
            // The template has written what begins a sequence; the tokenizer must not add it again.
            let span = trace::tokenise(&arrival.span);
            let (text, tokens) = tokenise(app, text, text::Tokenizer::encode, param, span).await?;
            Ok(Prompt {
                tokens,
                text: Some(text),
                constraint,
                parsers,
                param,
            })
        }
        Input::Text(text) => {
            let encode = match around {
                Around::AsTokenizer => text::Tokenizer::encode_prompt,
                Around::Nothing => text::Tokenizer::encode,
            };
            let span = trace::tokenise(&arrival.span);
            let (text, tokens) = tokenise(app, text.clone(), encode, param, span).await?;
            Ok(Prompt {
                tokens,
                text: Some(text),
                constraint: None,
                parsers: Vec::new(),
                param,
            })
        }
        Input::Tokens(tokens) => Ok(Prompt {
            tokens: tokens.clone(),
            text: None,
            constraint: None,
            parsers: Vec::new(),
            param,
        }),
    }
}

type Encode = fn(&text::Tokenizer, &str) -> Result<Vec<u32>, text::Error>;

/// A long prompt takes milliseconds to tokenise, in which other requests' tokens must not wait.
async fn tokenise(
    app: &App,
    text: String,
    encode: Encode,
    param: &str,
    span: Span,
) -> Result<(String, Vec<u32>), ApiError> {
    let tokenizer = app.model.tokenizer.clone();
    let encode = move || encode(&tokenizer, &text).map(|tokens| (text, tokens));
    match tokio::task::spawn_blocking(encode).await {
        Ok(Ok((text, tokens))) => {
            span.record("num_tokens", tokens.len());
            Ok((text, tokens))
        }
        Ok(Err(error)) => Err(invalid(
            param,
            format!("the prompt cannot be tokenised: {error}"),
        )),
        Err(stopped) => {
            let message = format!("the tokenizer stopped: {stopped}");
            Err(refusal(StatusCode::INTERNAL_SERVER_ERROR, message))
        }
    }
}

/// A prompt as its client reads it, without probabilities.
pub(crate) fn report(
    app: &App,
    input: usize,
    text: Option<String>,
    tokens: &[u32],
) -> PromptReport {
    let tokenizer = &app.model.tokenizer;
    let token = |&id: &u32| PromptToken {
        id,
        bytes: tokenizer.bytes(id).unwrap_or_default().to_vec(),
        logprob: None,
        top: Vec::new(),
    };
    PromptReport {
        input: input as u32,
        text: text.unwrap_or_else(|| tokenizer.decode(tokens, text::Specials::Keep)),
        tokens: tokens.iter().map(token).collect(),
    }
}

/// With whom a prompt shares keys and values: all requests of the same salt.
pub(crate) fn scope(salt: Option<String>) -> CacheScope {
    CacheScope {
        adapter: None,
        salt,
    }
}

/// Why the engine did not take a prompt, for the client.
pub(crate) fn refused(error: &SubmitError, param: &str) -> ApiError {
    let message = error.to_string();
    match error {
        SubmitError::EmptyPrompt | SubmitError::UnknownToken { .. } => invalid(param, message),
        SubmitError::PromptTooLong { .. } | SubmitError::InputTooLong { .. } => {
            coded("context_length_exceeded", invalid(param, message))
        }
        SubmitError::InvalidParam(fault) => invalid(fault.param, message),
        SubmitError::Overloaded { .. } => overloaded(message),
        SubmitError::Stopped => refusal(StatusCode::SERVICE_UNAVAILABLE, message),
    }
}
