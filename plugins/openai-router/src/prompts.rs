//! What is to be completed, embedded or told the tokens of: OpenAI's four shapes of a prompt without turns.

use plugin_sdk::{ApiError, Input};

use crate::body::{Kind, Value};

/// Plain prompts. Of the four shapes two are lists of the other two.
#[derive(Debug)]
pub(crate) enum Prompts {
    Texts(Vec<String>),
    Tokens(Vec<Vec<u32>>),
}

impl Prompts {
    /// Reads a string, a list of strings, a list of token ids or a list of such lists. Lists of nothing are refused.
    pub(crate) fn read(prompt: Value) -> Result<Prompts, ApiError> {
        let path = prompt.path().to_owned();
        let prompts = match prompt.kind() {
            Kind::String => Prompts::Texts(vec![prompt.string()?]),
            Kind::List => Prompts::read_list(prompt)?,
            _ => {
                return Err(prompt.must_be(
                    "a string, a list of strings, a list of token ids or a list of such lists",
                ));
            }
        };
        let holds_nothing = match &prompts {
            Prompts::Texts(texts) => texts.is_empty(),
            Prompts::Tokens(lists) => lists.iter().any(Vec::is_empty),
        };
        if holds_nothing {
            let message = format!("`{path}` must neither be nor hold an empty list.");
            return Err(ApiError::invalid(path, message));
        }
        Ok(prompts)
    }

    /// The first item tells what the list is of.
    fn read_list(prompt: Value) -> Result<Prompts, ApiError> {
        match prompt.first_kind() {
            Kind::Number => Ok(Prompts::Tokens(vec![prompt.tokens()?])),
            Kind::List => prompt.each(Value::tokens).map(Prompts::Tokens),
            _ => prompt.each(Value::string).map(Prompts::Texts),
        }
    }

    /// How many prompts there are; at least one.
    pub(crate) fn len(&self) -> usize {
        match self {
            Prompts::Texts(texts) => texts.len(),
            Prompts::Tokens(lists) => lists.len(),
        }
    }

    /// The prompts in the contract's terms.
    pub(crate) fn into_inputs(self) -> Vec<Input> {
        match self {
            Prompts::Texts(texts) => texts.into_iter().map(Input::Text).collect(),
            Prompts::Tokens(lists) => lists.into_iter().map(Input::Tokens).collect(),
        }
    }
}
