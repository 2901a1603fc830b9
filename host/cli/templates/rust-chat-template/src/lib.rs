//! Prompts as ChatML, whatever template the model's files hold; what the model writes between `<think>` and `</think>` is
//! reasoning.

use plugin_sdk::{
    ApiError, ChatTemplate, Conversation, Delta, ModelTemplate, OutputParser, Prompt, register,
};

/// The marks around reasoning.
const BEGIN: &str = "<think>";
const END: &str = "</think>";

/// The plugin.
struct ChatMl;

impl ChatTemplate for ChatMl {
    type Parser = Parser;

    /// The prompt for a conversation. A refusal is told to the client.
    fn render(_: &ModelTemplate, conversation: &Conversation) -> Result<Prompt, ApiError> {
        if !conversation.tools.is_empty() {
            return Err(ApiError::invalid(
                "tools",
                "this template knows no tools: send none",
            ));
        }
        let mut prompt = String::new();
        let last = conversation.messages.len().saturating_sub(1);
        for (number, message) in conversation.messages.iter().enumerate() {
            let content = message.content.as_deref().unwrap_or_default();
            prompt += &format!("<|im_start|>{}\n{content}", message.role);
            if !(conversation.continue_final_message && number == last) {
                prompt += "<|im_end|>\n";
            }
        }
        if conversation.add_generation_prompt {
            prompt += "<|im_start|>assistant\n";
        }
        Ok(Prompt::new(prompt))
    }

    fn parser(_: Conversation, _: String) -> Parser {
        Parser {
            reasons: false,
            held: String::new(),
        }
    }
}

/// Reads what the model writes for one choice.
struct Parser {
    /// Whether the text is inside of the marks.
    reasons: bool,
    /// The end of the text so far, if it may be the beginning of a mark.
    held: String,
}

impl OutputParser for Parser {
    fn push(&mut self, text: String) -> Vec<Delta> {
        self.held += &text;
        let mut deltas = Vec::new();
        while let Some(at) = self.held.find(self.mark()) {
            let rest = self.held.split_off(at + self.mark().len());
            self.held.truncate(at);
            deltas.extend(self.take());
            self.reasons = !self.reasons;
            self.held = rest;
        }
        let kept = beginning(&self.held, self.mark());
        let kept = self.held.split_off(self.held.len() - kept);
        deltas.extend(self.take());
        self.held = kept;
        deltas
    }

    fn finish(&mut self) -> Vec<Delta> {
        self.take().into_iter().collect()
    }
}

impl Parser {
    /// The mark that ends what is being read.
    fn mark(&self) -> &'static str {
        if self.reasons { END } else { BEGIN }
    }

    /// All that is held, as what it is.
    fn take(&mut self) -> Option<Delta> {
        let text = std::mem::take(&mut self.held);
        match (text.is_empty(), self.reasons) {
            (true, _) => None,
            (false, true) => Some(Delta::Reasoning(text)),
            (false, false) => Some(Delta::Content(text)),
        }
    }
}

/// How many bytes at the end of the text are the beginning of the mark.
fn beginning(text: &str, mark: &str) -> usize {
    (1..mark.len())
        .rev()
        .find(|&len| text.ends_with(&mark[..len]))
        .unwrap_or(0)
}

register!(chat_template: ChatMl);

#[cfg(test)]
mod tests {
    use plugin_sdk::Message;

    use super::*;

    fn render(conversation: &Conversation) -> String {
        let model = ModelTemplate {
            model: "m".to_owned(),
            chat_template: None,
            bos_token: None,
            eos_token: None,
            now: 0,
        };
        ChatMl::render(&model, conversation).unwrap().text
    }

    fn read(pieces: &[&str]) -> (String, String) {
        let mut parser = ChatMl::parser(Conversation::new(Vec::new()), String::new());
        let mut deltas: Vec<Delta> = Vec::new();
        for piece in pieces {
            deltas.extend(parser.push((*piece).to_owned()));
        }
        deltas.extend(parser.finish());
        let (mut reasoning, mut content) = (String::new(), String::new());
        for delta in deltas {
            match delta {
                Delta::Reasoning(text) => reasoning += &text,
                Delta::Content(text) => content += &text,
                other => panic!("{other:?}"),
            }
        }
        (reasoning, content)
    }

    #[test]
    fn a_prompt_ends_by_opening_the_assistants_turn() {
        let conversation = Conversation::new(vec![Message::new("user", "hi")]);
        let expected = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n";
        assert_eq!(render(&conversation), expected);
    }

    #[test]
    fn reasoning_is_told_from_the_answer_wherever_the_text_is_cut() {
        let text = "<think>2 < 3</think>Yes <b>";
        for at in 0..=text.len() {
            let (reasoning, content) = read(&[&text[..at], &text[at..]]);
            assert_eq!(
                (reasoning.as_str(), content.as_str()),
                ("2 < 3", "Yes <b>"),
                "{at}"
            );
        }
    }
}
