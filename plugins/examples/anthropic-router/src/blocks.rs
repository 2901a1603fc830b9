//! The blocks of an answer, in the order in which the model began them.

use plugin_sdk::Delta;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::answer::Calls;

/// What the model wrote so far.
#[derive(Debug)]
pub(crate) struct Blocks {
    calls: Calls,
    blocks: Vec<Block>,
}

#[derive(Debug)]
pub(crate) enum Block {
    Thinking(String),
    Text(String),
    Call {
        index: u32,
        name: String,
        arguments: String,
    },
}

/// A block as the client reads it.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum BlockBody<'a> {
    Thinking {
        thinking: &'a str,
        /// Clients need the key; there is nothing to sign.
        signature: &'static str,
    },
    Text {
        text: &'a str,
    },
    ToolUse {
        id: String,
        name: &'a str,
        input: Box<RawValue>,
    },
}

impl Blocks {
    pub(crate) fn new(calls: Calls) -> Blocks {
        Blocks {
            calls,
            blocks: Vec::new(),
        }
    }

    /// The rules for this answer's calls.
    pub(crate) fn calls(&self) -> Calls {
        self.calls
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Adds a piece, to the last block if that is of its kind. Empty pieces begin no block.
    pub(crate) fn grow(&mut self, delta: Delta) {
        match (delta, self.blocks.last_mut()) {
            (Delta::Content(more), Some(Block::Text(text)))
            | (Delta::Reasoning(more), Some(Block::Thinking(text))) => text.push_str(&more),
            (Delta::Content(text), _) if !text.is_empty() => self.blocks.push(Block::Text(text)),
            (Delta::Reasoning(text), _) if !text.is_empty() => {
                self.blocks.push(Block::Thinking(text))
            }
            (Delta::Content(_) | Delta::Reasoning(_), _) => {}
            (Delta::ToolCallStart(start), _) => {
                if self.calls.admits(start.index) {
                    self.blocks.push(Block::Call {
                        index: start.index,
                        name: start.name,
                        arguments: String::new(),
                    });
                }
            }
            (Delta::ToolCallArguments(more), _) => {
                let call = self.blocks.iter_mut().rev().find_map(|block| match block {
                    Block::Call {
                        index, arguments, ..
                    } if *index == more.index => Some(arguments),
                    _ => None,
                });
                if let Some(arguments) = call {
                    arguments.push_str(&more.text);
                }
            }
        }
    }

    /// All blocks as the client reads them.
    pub(crate) fn bodies(&self) -> Vec<BlockBody<'_>> {
        self.blocks
            .iter()
            .map(|block| match block {
                Block::Thinking(text) => BlockBody::thinking(text),
                Block::Text(text) => BlockBody::Text { text },
                Block::Call {
                    index,
                    name,
                    arguments,
                } => BlockBody::ToolUse {
                    id: self.calls.id(*index),
                    name,
                    input: input(arguments),
                },
            })
            .collect()
    }
}

impl<'a> BlockBody<'a> {
    pub(crate) fn thinking(thinking: &'a str) -> Self {
        BlockBody::Thinking {
            thinking,
            signature: "",
        }
    }
}

/// What a call's arguments that are no JSON object are wrapped in: the key that Anthropic gives for it.
#[derive(Serialize)]
struct Invalid<'a> {
    #[serde(rename = "INVALID_JSON")]
    text: &'a str,
}

/// The arguments as the model wrote them, if they are a JSON object, which `input` must be.
fn input(arguments: &str) -> Box<RawValue> {
    let text = match arguments.trim() {
        "" | "null" => "{}",
        text => text,
    };
    let object = Some(text).filter(|text| text.starts_with('{'));
    let raw = object.and_then(|text| serde_json::from_str(text).ok());
    raw.unwrap_or_else(|| {
        serde_json::value::to_raw_value(&Invalid { text: arguments })
            .expect("a struct with a string always serialises")
    })
}

/// The JSON text of an empty object.
pub(crate) fn no_input() -> Box<RawValue> {
    input("")
}
