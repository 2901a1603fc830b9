//! Conversations, as routers make them and templates render them.

use super::{record, variant};

record!(
    /// A call of a tool in an earlier turn.
    #[derive(Default)]
    #[serde(default)]
    ToolCall {
        id: String,
        name: String,
        arguments: String,
    }
);

record!(
    /// One turn.
    #[derive(Default)]
    #[serde(default)]
    Message {
        role: String,
        content: Option<String>,
        reasoning: Option<String>,
        name: Option<String>,
        tool_calls: Vec<ToolCall>,
        tool_call_id: Option<String>,
    }
);

record!(
    /// A tool on offer; its definition is a JSON text.
    Tool {
        name: String,
        definition: String,
    }
);

variant!(
    /// What must be called.
    ToolChoice { Auto, None, Required } { Named(String) }
);

record!(
    /// What a chat template renders.
    #[serde(default)]
    Conversation {
        messages: Vec<Message>,
        tools: Vec<Tool>,
        tool_choice: ToolChoice,
        parallel_tool_calls: bool,
        add_generation_prompt: bool,
        continue_final_message: bool,
        template_variables: Option<String>,
    }
);

impl Message {
    /// A turn that is only text.
    pub(crate) fn new(role: &str, content: impl Into<String>) -> Self {
        Message {
            role: role.into(),
            content: Some(content.into()),
            ..Message::default()
        }
    }
}

impl Default for Conversation {
    /// A greeting, to be answered.
    fn default() -> Self {
        Conversation {
            messages: vec![Message::new("user", "Hello.")],
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            parallel_tool_calls: true,
            add_generation_prompt: true,
            continue_final_message: false,
            template_variables: None,
        }
    }
}
