//! A chat template that does what the last message says: `PHASE:WORD`, where the phase is `render`, `parser`, `push` or
//! `finish`, and the word is one of [`hostile::misbehave`] or, where the phase can return such a thing,
//!
//! * `huge-return`: [`hostile::HUGE_LEN`] bytes of text
//! * `refuse`, `bad-status` (render): a refusal with status 400, or 99
//! * `orphan` (push, finish): arguments of a tool call that never began
//! * `many-deltas` (push, finish): a million empty pieces
//!
//! Otherwise the prompt is the messages' text, a line each, and the answer is passed on as it is.

use hostile::{huge_text, misbehave, order_for};
use plugin_sdk::{
    ApiError, ChatTemplate, Conversation, Delta, ModelTemplate, OutputParser, Prompt,
    ToolCallArguments, register,
};

struct HostileTemplate;

struct HostileParser {
    order: String,
}

impl ChatTemplate for HostileTemplate {
    type Parser = HostileParser;

    fn render(_model: &ModelTemplate, conversation: &Conversation) -> Result<Prompt, ApiError> {
        let order = order(conversation);
        let word = order_for("render", &order);
        misbehave(word);
        match word {
            "huge-return" => Ok(Prompt::new(huge_text())),
            "refuse" => Err(ApiError::invalid(
                "messages",
                "a hostile plugin was asked to refuse",
            )),
            "bad-status" => Err(ApiError::new(
                99,
                "server_error",
                "a refusal with a status that HTTP has not",
            )),
            _ => {
                let turns = conversation
                    .messages
                    .iter()
                    .filter_map(|message| message.content.as_deref());
                let lines: String = turns.flat_map(|turn| [turn, "\n"]).collect();
                Ok(Prompt::new(lines))
            }
        }
    }

    fn parser(conversation: Conversation, _prompt: String) -> HostileParser {
        let order = order(&conversation);
        misbehave(order_for("parser", &order));
        HostileParser { order }
    }
}

impl HostileParser {
    /// Obeys an order for `phase`; otherwise what an honest parser would return.
    fn deltas(&self, phase: &str, honest: Vec<Delta>) -> Vec<Delta> {
        let word = order_for(phase, &self.order);
        misbehave(word);
        match word {
            "huge-return" => vec![Delta::Content(huge_text())],
            "orphan" => vec![Delta::ToolCallArguments(ToolCallArguments {
                index: u32::MAX,
                text: "{".to_owned(),
            })],
            "many-deltas" => vec![Delta::Content(String::new()); 1_000_000],
            _ => honest,
        }
    }
}

impl OutputParser for HostileParser {
    fn push(&mut self, text: String) -> Vec<Delta> {
        self.deltas("push", vec![Delta::Content(text)])
    }

    fn finish(&mut self) -> Vec<Delta> {
        self.deltas("finish", Vec::new())
    }
}

fn order(conversation: &Conversation) -> String {
    conversation
        .messages
        .last()
        .and_then(|message| message.content.clone())
        .unwrap_or_default()
}

register!(chat_template: HostileTemplate);
