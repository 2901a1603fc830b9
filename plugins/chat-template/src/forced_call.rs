//! A `tool_choice` that leaves the model no choice: the prompt begins the call, a grammar holds the rest of it to the tools'
//! parameters, and the parser goes on from the beginning.

use std::collections::BTreeMap;

use plugin_sdk::{ApiError, Constraint, Conversation, Prompt, Tool, ToolChoice};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::marks::{THINK, THINK_END, TOOL_CALL, TOOL_CALL_END};

const PARAM: &str = "tool_choice";

/// What a call begins with whose tool the model chooses. It breaks off where the model's own tokens do: before a name.
const NAMELESS: &str = r#"{"name": ""#;

/// Between two parts of the arguments, for the grammar: nothing, a blank, or a line break and its indentation. Small models, once
/// on them, write blanks until they are stopped.
const WHITESPACE: &str = r"\x20|\n[\x20\t]{0,64}";

/// Keywords beside `properties` that may allow further ones, or forbid them.
const SPEAKS_OF_OTHERS: [&str; 7] = [
    "additionalProperties",
    "unevaluatedProperties",
    "patternProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "$ref",
];

/// The call's first part, as the prompt ends in it after `<tool_call>` and a newline; none where the model decides.
pub(crate) fn beginning(conversation: &Conversation) -> Option<String> {
    match &conversation.tool_choice {
        ToolChoice::Auto | ToolChoice::None => None,
        ToolChoice::Required => Some(NAMELESS.to_owned()),
        ToolChoice::Named(name) => {
            let name = serde_json::Value::from(name.as_str());
            // Tokenizers put the space to the brace that follows.
            Some(format!(r#"{{"name": {name}, "arguments":"#))
        }
    }
}

/// The prompt with the beginning of the call that the conversation asks for. It needs no template that knows tools: the grammar
/// makes a call of whatever the model would write.
pub(crate) fn begin(mut prompt: String, conversation: &Conversation) -> Result<Prompt, ApiError> {
    let Some(beginning) = beginning(conversation) else {
        return Ok(Prompt::new(prompt));
    };
    if conversation.continue_final_message {
        return Err(ApiError::invalid(
            PARAM,
            "a message that is continued cannot be made a tool call: set tool_choice to \"auto\"",
        ));
    }
    if !conversation.add_generation_prompt {
        return Ok(Prompt::new(prompt));
    }
    let begun = prompt.trim_end();
    if begun.ends_with(THINK) {
        prompt.truncate(begun.len());
        prompt.push_str(&format!("\n\n{THINK_END}\n\n"));
    }
    prompt.push_str(&format!("{TOOL_CALL}\n{beginning}"));
    Ok(Prompt {
        text: prompt,
        constraint: Some(Constraint::Lark(rest(conversation)?)),
    })
}

/// A grammar in llguidance's Lark of what may follow the beginning.
fn rest(conversation: &Conversation) -> Result<String, ApiError> {
    let offered: Vec<(usize, &Tool)> = match &conversation.tool_choice {
        ToolChoice::Named(name) => {
            let tools = conversation.tools.iter().enumerate();
            tools
                .filter(|(_, tool)| tool.name == *name)
                .take(1)
                .collect()
        }
        _ => conversation.tools.iter().enumerate().collect(),
    };
    if offered.is_empty() {
        return Err(ApiError::invalid(
            PARAM,
            "the tool that must be called is not among `tools`: send its definition, or leave tool_choice out",
        ));
    }
    let mut grammar = match &conversation.tool_choice {
        ToolChoice::Named(_) => {
            format!("start: \" \" arguments_{} {}\n", offered[0].0, end())
        }
        _ => any_of(&offered, conversation.parallel_tool_calls),
    };
    for (index, tool) in offered {
        grammar += &format!("arguments_{index}: %json {}\n", parameters(tool, index)?);
    }
    Ok(grammar)
}

/// A call of any of these tools, or where that is wanted one after the other.
fn any_of(tools: &[(usize, &Tool)], parallel: bool) -> String {
    let next = literal(&format!("\n{TOOL_CALL}\n{NAMELESS}"));
    let more = match parallel {
        true => format!(" ({next} call)*"),
        false => String::new(),
    };
    let call = |(index, tool): &(usize, &Tool)| {
        let name = serde_json::Value::from(tool.name.as_str()).to_string();
        // Its first quote stands in the beginning.
        let name = literal(&format!(r#"{}, "arguments": "#, &name[1..]));
        format!("{name} arguments_{index} {}", end())
    };
    let calls: Vec<_> = tools.iter().map(call).collect();
    format!("start: call{more}\ncall: {}\n", calls.join(" | "))
}

/// What ends a call.
fn end() -> String {
    literal(&format!("}}\n{TOOL_CALL_END}"))
}

/// A text in the grammar, where strings are written as JSON writes them.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[derive(Deserialize)]
struct Definition<'a> {
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

/// The schema of a tool's arguments as the client wrote it, since properties are written in its order; any object where there is
/// none. An object in any case: that is what arguments are. Where the schema does not say whether there may be others than those
/// that it names, there may not: small models invent them without end.
fn parameters(tool: &Tool, index: usize) -> Result<String, ApiError> {
    let unreadable = |error| {
        let message = format!(
            "the definition of tool `{}` cannot be read: {error}",
            tool.name
        );
        ApiError::invalid(format!("tools[{index}]"), message)
    };
    let definition: Definition = serde_json::from_str(&tool.definition).map_err(unreadable)?;
    let schema = definition.function.parameters.map_or("{}", RawValue::get);
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(schema).map_err(unreadable)?;
    let options = serde_json::json!({"whitespace_pattern": WHITESPACE});
    let mut begun = format!(r#"{{"x-guidance":{options}"#);
    if !members.contains_key("type") {
        begun += r#","type":"object""#;
    }
    let has = |keyword: &str| members.contains_key(keyword);
    if has("properties") && !SPEAKS_OF_OTHERS.into_iter().any(has) {
        begun += r#","additionalProperties":false"#;
    }
    if !members.is_empty() {
        begun.push(',');
    }
    Ok(begun + schema.trim_start_matches('{'))
}
