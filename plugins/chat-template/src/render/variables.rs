//! What a template sees: the names and shapes that Transformers hands it for an OpenAI conversation.

use minijinja::value::Value;
use plugin_sdk::{ApiError, Conversation, Message, ModelTemplate, ToolCall, ToolChoice};

use super::{continuation::Continuation, json};

/// The client's name for `template_variables`.
const VARIABLES: &str = "chat_template_kwargs";

/// Names that the conversation itself fills in.
const RESERVED: [&str; 4] = [
    "messages",
    "tools",
    "add_generation_prompt",
    "continue_final_message",
];

/// All variables of one rendering. Those of the client go over the model's tokens, and may not touch the conversation.
pub(crate) fn of(
    model: &ModelTemplate,
    conversation: &Conversation,
    source: &str,
    continuation: Option<&Continuation>,
) -> Result<Value, ApiError> {
    let last = conversation.messages.len().saturating_sub(1);
    let knows_developer = source.contains("developer");
    let messages = conversation
        .messages
        .iter()
        .enumerate()
        .map(|(index, turn)| {
            let role = match turn.role.as_str() {
                // OpenAI's newer word for the same thing; most templates would drop such a message without a word.
                "developer" if !knows_developer => "system",
                role => role,
            };
            match continuation {
                Some(continuation) if index == last => message(turn, role, &continuation.marked()),
                // A turn that only called tools has a content all the same: most templates concatenate it.
                _ => message(turn, role, turn.content.as_deref().unwrap_or_default()),
            }
        })
        .collect();

    let mut variables = vec![
        ("messages".to_owned(), messages),
        ("tools".to_owned(), tools(conversation)?),
        ("documents".to_owned(), Value::from(())),
        (
            "add_generation_prompt".to_owned(),
            Value::from(conversation.add_generation_prompt),
        ),
    ];
    let tokens = [
        ("bos_token", &model.bos_token),
        ("eos_token", &model.eos_token),
    ];
    for (name, token) in tokens {
        if let Some(token) = token {
            variables.push((name.to_owned(), Value::from(token)));
        }
    }
    variables.extend(clients_own(conversation)?);
    Ok(Value::from_pairs(variables))
}

/// One turn. Keys that the client left out are left out here too: templates test for them.
fn message(turn: &Message, role: &str, content: &str) -> Value {
    let mut keys = Vec::new();
    // Reasoning goes by three names among templates; Transformers and vLLM fill in all of them.
    if let Some(reasoning) = &turn.reasoning {
        keys.push(("thinking", Value::from(reasoning)));
    }
    keys.push(("role", Value::from(role)));
    keys.push(("content", Value::from(content)));
    if let Some(name) = &turn.name {
        keys.push(("name", Value::from(name)));
    }
    if !turn.tool_calls.is_empty() {
        keys.push((
            "tool_calls",
            turn.tool_calls.iter().map(tool_call).collect(),
        ));
    }
    if let Some(id) = &turn.tool_call_id {
        keys.push(("tool_call_id", Value::from(id)));
    }
    if let Some(reasoning) = &turn.reasoning {
        keys.push(("reasoning", Value::from(reasoning)));
        keys.push(("reasoning_content", Value::from(reasoning)));
    }
    Value::from_pairs(keys)
}

/// A call in an earlier turn. Templates expect its arguments as a dict; a text that is no JSON object stays a text.
fn tool_call(call: &ToolCall) -> Value {
    let arguments = match call.arguments.trim() {
        // What vLLM makes of no arguments.
        "" => Value::from_pairs::<_, String, Value>([]),
        text if text.starts_with('{') => {
            json::value(text).unwrap_or_else(|_| Value::from(&call.arguments))
        }
        _ => Value::from(&call.arguments),
    };
    let function = [("name", Value::from(&call.name)), ("arguments", arguments)];
    Value::from_pairs([
        ("id", Value::from(&call.id)),
        ("type", Value::from("function")),
        ("function", Value::from_pairs(function)),
    ])
}

/// The tools on offer; none where there are none, or none may be called: what the model is not shown it does not call.
fn tools(conversation: &Conversation) -> Result<Value, ApiError> {
    if conversation.tools.is_empty() || conversation.tool_choice == ToolChoice::None {
        return Ok(Value::from(()));
    }
    let definition = |(index, tool): (usize, &plugin_sdk::Tool)| {
        json::value(&tool.definition).map_err(|why| {
            ApiError::invalid(
                format!("tools[{index}]"),
                format!(
                    "the definition of the tool `{}` cannot be read: {why}",
                    tool.name
                ),
            )
        })
    };
    conversation
        .tools
        .iter()
        .enumerate()
        .map(definition)
        .collect()
}

/// The client's own variables.
fn clients_own(conversation: &Conversation) -> Result<Vec<(String, Value)>, ApiError> {
    let Some(text) = &conversation.template_variables else {
        return Ok(Vec::new());
    };
    let invalid = |why: String| ApiError::invalid(VARIABLES, why);
    let object = json::value(text)
        .map_err(|why| invalid(format!("{VARIABLES} is not readable JSON: {why}")))?;
    if object.kind() != minijinja::value::ValueKind::Map {
        return Err(invalid(format!(
            "{VARIABLES} must be a JSON object, such as {{\"enable_thinking\":false}}"
        )));
    }
    let names = object
        .try_iter()
        .map_err(|error| invalid(error.to_string()))?;
    names
        .map(|name| {
            let key = name.to_string();
            if RESERVED.contains(&key.as_str()) {
                return Err(invalid(format!(
                    "{VARIABLES} cannot set `{key}`: the request has a field of its own for it"
                )));
            }
            let value = object.get_item(&name).unwrap_or_default();
            Ok((key, value))
        })
        .collect()
}
