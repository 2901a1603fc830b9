//! What a client needs to know of one streamed chunk: does it carry text, token counts, or an error?

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Failure, one_line};

/// One `data` event of a generation stream.
#[derive(Debug, PartialEq)]
pub(crate) struct Chunk {
    /// Whether it holds any non-empty content, reasoning or tool-call text.
    pub(crate) has_text: bool,
    /// Token counts so far, if the server sent them.
    pub(crate) usage: Option<Usage>,
}

/// Token counts as the server states them.
#[derive(Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    #[serde(default)]
    pub(crate) prompt_tokens: u64,
    #[serde(default)]
    pub(crate) completion_tokens: u64,
}

#[derive(Deserialize)]
struct Wire {
    choices: Option<Vec<Choice>>,
    usage: Option<Usage>,
    error: Option<Value>,
    // Older vLLM: `{"object": "error", "message": …}` without an `error` member.
    object: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    text: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    reasoning: Option<String>,
    reasoning_content: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct ToolCall {
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

impl Chunk {
    /// Reads the data of one event. An error that the server reports inside its stream is a failure, as is bad JSON.
    pub(crate) fn parse(data: &[u8]) -> Result<Self, Failure> {
        let wire: Wire = serde_json::from_slice(data).map_err(|error| Failure::Malformed {
            reason: error.to_string(),
            data: one_line(&String::from_utf8_lossy(data)),
        })?;
        if let Some(error) = &wire.error {
            return Err(Failure::Reported(error_text(error)));
        }
        if wire.object.as_deref() == Some("error") {
            let message = wire.message.as_deref().unwrap_or("no message");
            return Err(Failure::Reported(one_line(message)));
        }
        Ok(Chunk {
            has_text: wire.choices.iter().flatten().any(Choice::has_text),
            usage: wire.usage,
        })
    }
}

/// The message inside an OpenAI error object, or the value itself where it has another shape.
pub(crate) fn error_text(error: &Value) -> String {
    let message = error.get("message").unwrap_or(error);
    match message.as_str() {
        Some(text) => one_line(text),
        None => one_line(&error.to_string()),
    }
}

impl Choice {
    fn has_text(&self) -> bool {
        filled(&self.text) || self.delta.as_ref().is_some_and(Delta::has_text)
    }
}

impl Delta {
    fn has_text(&self) -> bool {
        let functions = self.tool_calls.iter().flatten();
        filled(&self.content)
            || filled(&self.reasoning)
            || filled(&self.reasoning_content)
            || filled(&self.refusal)
            || functions
                .filter_map(|call| call.function.as_ref())
                .any(|function| filled(&function.name) || filled(&function.arguments))
    }
}

fn filled(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_text(json: &str) -> bool {
        Chunk::parse(json.as_bytes()).unwrap().has_text
    }

    #[test]
    fn text_is_content_reasoning_refusal_tool_call_or_completion_text() {
        for json in [
            r#"{"choices":[{"delta":{"role":"assistant","content":"a"}}]}"#,
            r#"{"choices":[{"delta":{"reasoning":"a"}}]}"#,
            r#"{"choices":[{"delta":{"reasoning_content":" ","content":null}}]}"#,
            r#"{"choices":[{"delta":{"refusal":"no"}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}"#,
            r#"{"choices":[{"index":0,"text":"a"}]}"#,
        ] {
            assert!(has_text(json), "{json}");
        }
    }

    #[test]
    fn role_finish_and_usage_chunks_are_not_text() {
        for json in [
            r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#,
            r#"{"choices":[{"text":"","finish_reason":"length"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
            r#"{}"#,
        ] {
            assert!(!has_text(json), "{json}");
        }
    }

    #[test]
    fn an_error_in_the_stream_is_a_failure_with_its_message() {
        for json in [
            r#"{"error":{"message":"out of memory","type":"server_error"}}"#,
            r#"{"error":"out of memory"}"#,
            r#"{"object":"error","message":"out of memory","code":500}"#,
        ] {
            let failure = Chunk::parse(json.as_bytes()).unwrap_err();
            assert!(
                matches!(&failure, Failure::Reported(message) if message == "out of memory"),
                "{json} gave {failure}"
            );
        }
    }

    #[test]
    fn data_that_is_not_json_is_a_failure() {
        let failure = Chunk::parse(b"oops").unwrap_err();
        assert!(matches!(failure, Failure::Malformed { .. }), "{failure}");
    }
}
