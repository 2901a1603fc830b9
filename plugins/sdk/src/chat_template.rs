//! The role of a chat template: a model's own way of writing a conversation, and of reading its answers back.

use std::{cell::RefCell, marker::PhantomData};

use crate::bindings::chat_template::exports::lm::plugin::templating as wit;
use crate::{ApiError, Conversation, Delta, ModelTemplate, Prompt};

/// Renders prompts and parses answers of a family of models. The host makes a fresh instance for every request.
pub trait ChatTemplate {
    /// Reads what the model writes for one choice.
    type Parser: OutputParser;

    /// The prompt for a conversation, special tokens written out, and the form of what follows it where the conversation asks for
    /// one. Fails with the template's own message where it refuses the conversation.
    fn render(model: &ModelTemplate, conversation: &Conversation) -> Result<Prompt, ApiError>;

    /// A parser for one choice of the answer. `prompt` is the text that `render` returned: it may have opened a block that the
    /// model goes on with.
    fn parser(conversation: Conversation, prompt: String) -> Self::Parser;
}

/// Tells answer, reasoning and tool calls apart.
pub trait OutputParser: 'static {
    /// Takes the next piece of text. Holds back what may be part of a mark until that is certain.
    fn push(&mut self, text: String) -> Vec<Delta>;

    /// No more text comes: returns what was held back.
    fn finish(&mut self) -> Vec<Delta>;
}

/// Carries a [`ChatTemplate`] across the component's border. Named by `register!` alone.
#[doc(hidden)]
pub struct Exported<P>(PhantomData<P>);

/// Calls come with a shared reference, but one at a time: the component model forbids re-entering an instance.
#[doc(hidden)]
pub struct ExportedParser<P: ChatTemplate>(RefCell<P::Parser>);

impl<P: ChatTemplate + 'static> wit::Guest for Exported<P> {
    type OutputParser = ExportedParser<P>;

    fn render(model: ModelTemplate, conversation: Conversation) -> Result<Prompt, ApiError> {
        P::render(&model, &conversation)
    }
}

impl<P: ChatTemplate + 'static> wit::GuestOutputParser for ExportedParser<P> {
    fn new(conversation: Conversation, prompt: String) -> Self {
        ExportedParser(RefCell::new(P::parser(conversation, prompt)))
    }

    fn push(&self, text: String) -> Vec<Delta> {
        self.0.borrow_mut().push(text)
    }

    fn finish(&self) -> Vec<Delta> {
        self.0.borrow_mut().finish()
    }
}
