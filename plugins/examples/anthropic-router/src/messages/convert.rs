//! From a checked request to the engine's terms.

use plugin_sdk::{Conversation, InferenceRequest, Input, Json, Message, Tool, ToolChoice};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    block::{Block, CallResult},
    options::Thinking,
    tools::OfferedTool,
    turn::{Role, Turn},
    types::MessagesRequest,
};
use crate::answer::json_text;

/// The request for the engine.
pub(super) fn request(request: MessagesRequest) -> InferenceRequest {
    let template_variables = template_variables(&request);
    // The assistant's own last turn is one that it goes on with.
    let continues = request
        .turns
        .last()
        .is_some_and(|turn| turn.role == Role::Assistant);
    let default_choice = match request.tools.is_empty() {
        true => ToolChoice::None,
        false => ToolChoice::Auto,
    };
    let system = request.system.filter(|text| !text.is_empty());
    let mut messages: Vec<_> = system
        .map(|text| Message::new("system", text))
        .into_iter()
        .collect();
    for turn in combined(request.turns) {
        match turn.role {
            Role::User => user(&mut messages, turn.blocks),
            Role::Assistant => messages.push(assistant(turn.blocks)),
            Role::System => messages.push(Message::new(
                "system",
                lines(turn.blocks.iter().filter_map(text)),
            )),
        }
    }
    let conversation = Conversation {
        messages,
        tools: request.tools.iter().map(tool).collect(),
        tool_choice: request.tool_choice.unwrap_or(default_choice),
        parallel_tool_calls: request.parallel_calls,
        add_generation_prompt: !continues,
        continue_final_message: continues,
        template_variables,
    };
    InferenceRequest {
        sampling: request.sampling,
        stream: request.stream,
        ..InferenceRequest::new(request.model, vec![Input::Chat(conversation)])
    }
}

/// Turns of the same role that follow each other are one, as Anthropic has it: many templates know nothing else.
fn combined(turns: Vec<Turn>) -> Vec<Turn> {
    let mut combined: Vec<Turn> = Vec::with_capacity(turns.len());
    for turn in turns {
        match combined.last_mut() {
            Some(last) if last.role == turn.role => last.blocks.extend(turn.blocks),
            _ => combined.push(turn),
        }
    }
    combined
}

/// A user's turn is several messages: a result is one of its own, and text between two results stays there.
fn user(messages: &mut Vec<Message>, blocks: Vec<Block>) {
    let mut texts: Vec<String> = Vec::new();
    for block in blocks {
        match block {
            Block::Text(text) => texts.push(text),
            Block::Result(result) => {
                messages.extend(said(&mut texts));
                messages.push(tool_message(result));
            }
            Block::Thinking(_) | Block::Call(_) => {}
        }
    }
    messages.extend(said(&mut texts));
}

fn said(texts: &mut Vec<String>) -> Option<Message> {
    let texts = std::mem::take(texts);
    (!texts.is_empty()).then(|| Message::new("user", lines(texts.iter().map(String::as_str))))
}

/// Templates have no place for a failure, so the text says it.
fn tool_message(CallResult { id, text, is_error }: CallResult) -> Message {
    let text = if is_error {
        format!("Error: {text}")
    } else {
        text
    };
    Message {
        tool_call_id: Some(id),
        ..Message::new("tool", text)
    }
}

fn assistant(blocks: Vec<Block>) -> Message {
    let content = lines(blocks.iter().filter_map(text));
    let thoughts = blocks.iter().filter_map(|block| match block {
        Block::Thinking(text) => Some(text.as_str()),
        _ => None,
    });
    let reasoning = Some(lines(thoughts)).filter(|text| !text.is_empty());
    let tool_calls: Vec<_> = blocks
        .into_iter()
        .filter_map(|block| match block {
            Block::Call(call) => Some(call),
            _ => None,
        })
        .collect();
    Message {
        content: Some(content).filter(|text| !text.is_empty() || tool_calls.is_empty()),
        reasoning,
        tool_calls,
        ..Message::new("assistant", "")
    }
}

fn text(block: &Block) -> Option<&str> {
    match block {
        Block::Text(text) => Some(text),
        Block::Thinking(_) | Block::Call(_) | Block::Result(_) => None,
    }
}

/// Run together, the end of a document and the question after it would be one word.
fn lines<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.collect::<Vec<_>>().join("\n")
}

/// A tool's definition in OpenAI's shape, which is what templates render.
#[derive(Serialize)]
struct Definition<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: &'a RawValue,
}

fn tool(tool: &OfferedTool) -> Tool {
    let definition = Definition {
        r#type: "function",
        function: Function {
            name: &tool.name,
            description: tool.description.as_deref(),
            parameters: tool.input_schema,
        },
    };
    Tool {
        name: tool.name.clone(),
        definition: json_text(&definition),
    }
}

/// What templates that can be told so know as the switch for thinking, and as the measure of effort.
#[derive(Serialize)]
struct Variables {
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_thinking: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
}

fn template_variables(request: &MessagesRequest) -> Option<Json> {
    let variables = Variables {
        enable_thinking: match request.thinking {
            Some(Thinking::Enabled { .. }) => Some(true),
            Some(Thinking::Disabled) => Some(false),
            Some(Thinking::Adaptive) | None => None,
        },
        reasoning_effort: request.effort,
    };
    let says_something =
        variables.enable_thinking.is_some() || variables.reasoning_effort.is_some();
    says_something.then(|| json_text(&variables))
}
