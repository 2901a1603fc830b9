//! From a request's input to the tokens of its prompt.

use engine::SubmitError;
use http::StatusCode;
use sandbox::{ApiError, Caller, Input, Parser, PluginSet, TemplateInstance};

use crate::{
    app::App,
    error::{self, coded, invalid, overloaded, refusal},
};

/// A prompt, and who reads the model's answers to it.
pub(crate) struct Prompt {
    pub(crate) tokens: Vec<u32>,
    /// One for each sample of a conversation: only answers to those have reasoning and tool calls in them.
    pub(crate) parsers: Vec<Parser>,
    /// The client's field that the prompt came from, to be named where it is refused.
    pub(crate) param: &'static str,
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
    num_samples: u32,
    template: &mut Option<TemplateInstance>,
    caller: &Caller,
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
                        .start(&caller.request_id)
                        .await
                        .map_err(failed)?,
                ),
            };
            let text = instance
                .render(&app.model_template(model), conversation)
                .await
                .map_err(failed)??;
            let mut parsers = Vec::new();
            for _ in 0..num_samples {
                parsers.push(instance.parser(conversation, &text).await.map_err(failed)?);
            }
            // The template has written what begins a sequence; the tokenizer must not add it again.
            let tokens = tokenise(app, text, text::Tokenizer::encode, param).await?;
            Ok(Prompt {
                tokens,
                parsers,
                param,
            })
        }
        Input::Text(text) => {
            let tokens = tokenise(app, text.clone(), text::Tokenizer::encode_prompt, param).await?;
            Ok(Prompt {
                tokens,
                parsers: Vec::new(),
                param,
            })
        }
        Input::Tokens(tokens) => Ok(Prompt {
            tokens: tokens.clone(),
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
) -> Result<Vec<u32>, ApiError> {
    let tokenizer = app.model.tokenizer.clone();
    let encoded = tokio::task::spawn_blocking(move || encode(&tokenizer, &text)).await;
    match encoded {
        Ok(Ok(tokens)) => Ok(tokens),
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

/// Why the engine did not take a prompt, for the client.
pub(crate) fn refused(error: &SubmitError, param: &str) -> ApiError {
    let message = error.to_string();
    match error {
        SubmitError::EmptyPrompt | SubmitError::UnknownToken { .. } => invalid(param, message),
        SubmitError::PromptTooLong { .. } => {
            coded("context_length_exceeded", invalid(param, message))
        }
        SubmitError::InvalidParam(fault) => invalid(fault.param, message),
        SubmitError::Overloaded { .. } => overloaded(message),
        SubmitError::Stopped => refusal(StatusCode::SERVICE_UNAVAILABLE, message),
    }
}
