//! Turns of a conversation, as clients send them.

use plugin_sdk::ApiError;

use super::block::{self, Block};
use crate::{body::Value, error::unsupported};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
    User,
    Assistant,
    System,
}

/// One turn.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) role: Role,
    pub(super) blocks: Vec<Block>,
}

/// Reads a turn, each of whose blocks its role may say.
pub(super) fn read(turn: Value) -> Result<Turn, ApiError> {
    let fields = turn.object()?;
    fields.only(&["role", "content"])?;
    let role = match fields.need("role", |v| v.word(&["user", "assistant", "system"]))? {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => Role::System,
    };
    let blocks = fields.need("content", block::read_content)?;
    for (i, block) in blocks.iter().enumerate() {
        let why = match (block, role) {
            (Block::Text(_), _)
            | (Block::Thinking(_) | Block::Call(_), Role::Assistant)
            | (Block::Result(_), Role::User) => continue,
            (Block::Thinking(_) | Block::Call(_), _) => "only the assistant thinks and calls tools",
            (Block::Result(_), _) => "results of calls are the user's to send",
        };
        return Err(unsupported(
            &format!("{}[{i}]", fields.path_of("content")),
            why,
        ));
    }
    Ok(Turn { role, blocks })
}
