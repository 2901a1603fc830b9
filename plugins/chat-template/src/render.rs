//! From a conversation to a prompt.

mod continuation;
mod environment;
mod failure;
mod generation_tags;
mod json;
mod python;
mod strftime;
mod tojson;
mod variables;
mod whitespace;

use plugin_sdk::{ApiError, Conversation, ModelTemplate, Prompt};

use crate::forced_call;

/// For models that bring no template: ChatML, with tools in the Hermes manner that the parser reads back.
const FALLBACK: &str = include_str!("render/chatml.jinja");

/// The prompt for a conversation, by the model's own template.
pub(crate) fn render(
    model: &ModelTemplate,
    conversation: &Conversation,
) -> Result<Prompt, ApiError> {
    if conversation.messages.is_empty() {
        return Err(ApiError::invalid(
            "messages",
            "messages is empty: send at least one message",
        ));
    }
    let source = model.chat_template.as_deref().unwrap_or(FALLBACK);
    let explain = |error| failure::explain(&model.model, &error);

    let continuation = continuation::Continuation::of(conversation, source)?;
    let variables = variables::of(model, conversation, source, continuation.as_ref())?;
    let source = generation_tags::replace(source);
    let environment = environment::environment(model.now).map_err(explain)?;
    let prompt = environment
        .template_from_str(&source)
        .and_then(|template| template.render(variables))
        .map_err(explain)?;
    let prompt = match continuation {
        Some(continuation) => continuation.cut(prompt)?,
        None => prompt,
    };
    forced_call::begin(prompt, conversation)
}
