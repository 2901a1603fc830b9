//! Every text of a request that the model is to read, and what the client calls it.

use std::fmt::{self, Display};

use plugin_sdk::{ApiError, Conversation, InferenceRequest, Input};

/// Where a text stands, spelt as OpenAI's clients spell it.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// A member of a message.
    Message(usize, &'static str),
    /// The arguments of a call in a message.
    Arguments(usize, usize),
    /// A tool's definition.
    Tool(usize),
    /// The variables of the chat template.
    Variables,
    /// A plain text; the number where there are several.
    Prompt(Option<usize>),
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Message(i, member) => write!(f, "messages[{i}].{member}"),
            Place::Arguments(i, call) => {
                write!(f, "messages[{i}].tool_calls[{call}].function.arguments")
            }
            Place::Tool(i) => write!(f, "tools[{i}]"),
            Place::Variables => f.write_str("chat_template_kwargs"),
            Place::Prompt(Some(i)) => write!(f, "prompt[{i}]"),
            Place::Prompt(None) => f.write_str("prompt"),
        }
    }
}

/// Shows `edit` every text. Names and ids of calls and tools are left out: they tie a conversation's parts together.
pub(crate) fn each(
    request: &mut InferenceRequest,
    mut edit: impl FnMut(Place, &mut String) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    let is_only = request.inputs.len() == 1;
    for (i, input) in request.inputs.iter_mut().enumerate() {
        match input {
            Input::Chat(conversation) => each_of_conversation(conversation, &mut edit)?,
            Input::Text(text) => edit(Place::Prompt((!is_only).then_some(i)), text)?,
            Input::Tokens(_) => {}
        }
    }
    Ok(())
}

fn each_of_conversation(
    conversation: &mut Conversation,
    edit: &mut impl FnMut(Place, &mut String) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    for (i, message) in conversation.messages.iter_mut().enumerate() {
        for (member, text) in [
            ("name", &mut message.name),
            ("reasoning", &mut message.reasoning),
            ("content", &mut message.content),
        ] {
            if let Some(text) = text {
                edit(Place::Message(i, member), text)?;
            }
        }
        for (call, tool_call) in message.tool_calls.iter_mut().enumerate() {
            edit(Place::Arguments(i, call), &mut tool_call.arguments)?;
        }
    }
    for (i, tool) in conversation.tools.iter_mut().enumerate() {
        edit(Place::Tool(i), &mut tool.definition)?;
    }
    match &mut conversation.template_variables {
        Some(variables) => edit(Place::Variables, variables),
        None => Ok(()),
    }
}

/// Refuses prompts of token ids.
pub(crate) fn refuse_tokens(request: &InferenceRequest) -> Result<(), ApiError> {
    let is_tokens = |input: &Input| matches!(input, Input::Tokens(_));
    if !request.inputs.iter().any(is_tokens) {
        return Ok(());
    }
    let message = "`prompt` is of token ids, in which this server cannot look for personal data; send it as text";
    Err(ApiError::invalid("prompt", message).with_code("unreadable_prompt"))
}
