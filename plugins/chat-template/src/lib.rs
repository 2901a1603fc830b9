//! Writes a conversation the way the served model was trained to read it, and reads the model's answers back.
//!
//! For the host, which sees this crate only as a component with the world `chat-template`. Rendering runs the model's own
//! Hugging Face template (Jinja) and gives byte for byte what `apply_chat_template` of Transformers gives. Parsing knows
//! the marks of the Qwen3 and Hermes families: `<think>` for reasoning, `<tool_call>` around a JSON object for a call.
//! It must not know HTTP, OpenAI's wire format, tokens or sampling.

mod forced_call;
mod marks;
mod parse;
mod render;

use plugin_sdk::{ApiError, ChatTemplate, Conversation, ModelTemplate, Prompt};

pub use parse::MarkParser;

/// Chat templates in Hugging Face's dialect of Jinja.
pub struct JinjaTemplate;

impl ChatTemplate for JinjaTemplate {
    type Parser = MarkParser;

    fn render(model: &ModelTemplate, conversation: &Conversation) -> Result<Prompt, ApiError> {
        render::render(model, conversation)
    }

    fn parser(conversation: Conversation, prompt: String) -> MarkParser {
        MarkParser::new(&conversation, &prompt)
    }
}

plugin_sdk::register!(chat_template: JinjaTemplate);
