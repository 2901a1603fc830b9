//! From a checked request for a response to the engine's terms.

use plugin_sdk::{Conversation, InferenceRequest, Input, Message, Tool, ToolChoice};

use super::{input::Item, tools::FunctionTool, types::ResponsesRequest};
use crate::generation::Generation;

/// The request for the engine.
pub(super) fn request(request: ResponsesRequest, mut generation: Generation) -> InferenceRequest {
    generation.sampling.logprobs = request.logprobs.then(|| request.top_logprobs.unwrap_or(0));
    let choice = request.tool_choice;
    let tools: Vec<Tool> = request
        .tools
        .into_iter()
        .filter(|tool| choice.admits(&tool.name))
        .map(FunctionTool::into_tool)
        .collect();
    let conversation = Conversation {
        template_variables: request.variables.json(),
        messages: messages(request.instructions, request.input),
        tool_choice: if tools.is_empty() {
            ToolChoice::None
        } else {
            choice.must().clone()
        },
        tools,
        parallel_tool_calls: request.parallel_tool_calls,
        add_generation_prompt: true,
        continue_final_message: false,
    };
    generation.into_request(vec![Input::Chat(conversation)])
}

/// The conversation's turns. What the model thought, said and called is one turn where it comes one after the other, as it
/// does in a response's output, until it thinks or speaks anew.
fn messages(instructions: Option<String>, input: Vec<Item>) -> Vec<Message> {
    let mut messages: Vec<Message> = instructions
        .map(|text| Message::new("system", text))
        .into_iter()
        .collect();
    for item in input {
        match item {
            Item::Prompt { role, text } => messages.push(Message::new(role, text)),
            Item::CallOutput { call_id, text } => messages.push(Message {
                tool_call_id: Some(call_id),
                ..Message::new("tool", text)
            }),
            Item::Reasoning(None) => {}
            Item::Reasoning(Some(text)) => {
                let fresh = |turn: &Message| turn.content.is_none() && turn.tool_calls.is_empty();
                let reasoning = &mut turn(&mut messages, fresh).reasoning;
                *reasoning = Some(match reasoning.take() {
                    Some(before) => before + "\n" + &text,
                    None => text,
                });
            }
            Item::Answer(text) => {
                turn(&mut messages, |turn| turn.content.is_none()).content = Some(text);
            }
            Item::Call(call) => turn(&mut messages, |_| true).tool_calls.push(call),
        }
    }
    for message in &mut messages {
        // A turn with neither text nor calls said nothing, and templates would print its absence.
        if message.content.is_none() && message.tool_calls.is_empty() {
            message.content = Some(String::new());
        }
    }
    messages
}

/// The model's turn at the end, if it `takes` what comes now, or else a new one.
fn turn(messages: &mut Vec<Message>, takes: impl FnOnce(&Message) -> bool) -> &mut Message {
    let goes_on = messages
        .last()
        .is_some_and(|last| last.role == "assistant" && takes(last));
    if !goes_on {
        messages.push(Message {
            content: None,
            ..Message::new("assistant", "")
        });
    }
    let last = messages.len() - 1;
    &mut messages[last]
}
