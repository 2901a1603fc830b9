//! Letting the model go on with its last message: the prompt is cut where that message's text ends.
//!
//! Where the text ends cannot be seen in the finished prompt, so a marker travels through the template at its end. The
//! marker's text is Transformers' own: a template may look at the content, and then has to see the same thing.

use plugin_sdk::{ApiError, Conversation};

use super::whitespace;

/// Ends in a space to tell whether the template strips the text's end.
const MARKER: &str = "CONTINUE_FINAL_MESSAGE_TAG ";

const PARAM: &str = "continue_final_message";

/// The last message of a conversation that is to be continued.
pub(crate) struct Continuation {
    text: String,
}

impl Continuation {
    /// What is to be continued; nothing if the conversation does not ask for it.
    pub(crate) fn of(
        conversation: &Conversation,
        source: &str,
    ) -> Result<Option<Continuation>, ApiError> {
        if !conversation.continue_final_message {
            return Ok(None);
        }
        if conversation.add_generation_prompt {
            return Err(ApiError::invalid(
                PARAM,
                "continue_final_message goes on with the last message, add_generation_prompt opens a new one: set one of them to false",
            ));
        }
        let last = conversation.messages.last();
        let Some(text) = last.and_then(|message| message.content.clone()) else {
            return Err(ApiError::invalid(
                PARAM,
                "continue_final_message is set, but the last message has no content to go on with",
            ));
        };
        if !source.contains("content") {
            return Err(cannot_continue());
        }
        Ok(Some(Continuation { text }))
    }

    /// The last message's content as the template is to see it.
    pub(crate) fn marked(&self) -> String {
        format!("{}{MARKER}", self.text)
    }

    /// The prompt up to where the last message's text ends.
    pub(crate) fn cut(&self, mut prompt: String) -> Result<String, ApiError> {
        let end = prompt.rfind(MARKER.trim_end());
        let Some(end) = end.filter(|_| prompt.contains(whitespace::strip(&self.text))) else {
            return Err(cannot_continue());
        };
        let kept_as_it_is = prompt[end..].starts_with(MARKER);
        prompt.truncate(end);
        if !kept_as_it_is {
            prompt.truncate(whitespace::strip_end(&prompt).len());
        }
        Ok(prompt)
    }
}

fn cannot_continue() -> ApiError {
    ApiError::invalid(
        PARAM,
        "the model's chat template drops or rewrites the last message, so it cannot be continued; make it a shorter plain text or set continue_final_message to false",
    )
}
