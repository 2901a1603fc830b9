//! From a request's input to the tokens of its prompt.

use engine::{CacheScope, SubmitError};
use http::StatusCode;
use sandbox::{
    ApiError, Constraint, Conversation, Input, Parser, PluginSet, PromptReport, PromptToken,
    TemplateInstance,
};
use tracing::Instrument;

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

/// The field of a client's request that a conversation comes from.
const CONVERSATION: &str = "messages";

/// Which field of the client's request an input came from.
fn param_of(input: &Input) -> &'static str {
    match input {
        Input::Chat(_) => CONVERSATION,
        Input::Text(_) | Input::Tokens(_) => "prompt",
    }
}

/// Reads the inputs of one request, which have all of this in common.
pub(crate) struct Reader<'a> {
    pub(crate) app: &'a App,
    pub(crate) plugins: &'a PluginSet,
    /// The served name that was asked for.
    pub(crate) model: &'a str,
    pub(crate) around: Around,
    /// Answers to each input, each of which a conversation has a parser for.
    pub(crate) num_samples: u32,
    pub(crate) arrival: &'a Arrival,
    /// Started by the first conversation; all others and the parsers share it.
    pub(crate) template: Option<TemplateInstance>,
}

impl Reader<'_> {
    /// Renders a conversation, tokenises a text, takes tokens as they are.
    pub(crate) async fn read(&mut self, input: &Input) -> Result<Prompt, ApiError> {
        match input {
            Input::Chat(conversation) => self.render(conversation).await,
            Input::Text(text) => {
                let encode = match self.around {
                    Around::AsTokenizer => text::Tokenizer::encode_prompt,
                    Around::Nothing => text::Tokenizer::encode,
                };
                let (text, tokens) = self.tokenise(text.clone(), encode, param_of(input)).await?;
                Ok(Prompt {
                    tokens,
                    text: Some(text),
                    constraint: None,
                    parsers: Vec::new(),
                    param: param_of(input),
                })
            }
            Input::Tokens(tokens) => Ok(Prompt {
                tokens: tokens.clone(),
                text: None,
                constraint: None,
                parsers: Vec::new(),
                param: param_of(input),
            }),
        }
    }

    async fn render(&mut self, conversation: &Conversation) -> Result<Prompt, ApiError> {
        let failed = |error: sandbox::PluginError| error::of_plugin(&error);
        let instance = match &mut self.template {
            Some(instance) => instance,
            none => {
                let started = self.plugins.template.start(&self.arrival.request_id).await;
                none.insert(started.map_err(failed)?)
            }
        };
        let sandbox::Prompt { text, constraint } = instance
            .render(&self.app.model_template(self.model), conversation)
            .instrument(trace::render(&self.arrival.span))
            .await
            .map_err(failed)??;
        let mut parsers = Vec::new();
        for _ in 0..self.num_samples {
            parsers.push(instance.parser(conversation, &text).await.map_err(failed)?);
        }
        // The template has written what begins a sequence; the tokenizer must not add it again.
        let encode = text::Tokenizer::encode;
        let (text, tokens) = self.tokenise(text, encode, CONVERSATION).await?;
        Ok(Prompt {
            tokens,
            text: Some(text),
            constraint,
            parsers,
            param: CONVERSATION,
        })
    }

    /// A long prompt takes milliseconds to tokenise, in which other requests' tokens must not wait.
    async fn tokenise(
        &self,
        text: String,
        encode: Encode,
        param: &str,
    ) -> Result<(String, Vec<u32>), ApiError> {
        let span = trace::tokenise(&self.arrival.span);
        let tokenizer = self.app.model.tokenizer.clone();
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
}

type Encode = fn(&text::Tokenizer, &str) -> Result<Vec<u32>, text::Error>;

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
