//! Any conversation gives a prompt or a refusal, and any text of the model, in any pieces, comes out once: as answer,
//! reasoning and calls that together are the text, but for marks and the newlines beside them.

#![no_main]

use arbitrary::Arbitrary;
use chat_template::JinjaTemplate;
use fuzz::parts::{MARKS, Written, join};
use libfuzzer_sys::fuzz_target;
use plugin_sdk::{
    ChatTemplate, Conversation, Delta, Message, ModelTemplate, OutputParser, Tool, ToolCall,
    ToolChoice,
};
use serde_json::{Value, json};

const QWEN3: &str = include_str!("../../plugins/chat-template/tests/golden/templates/qwen3.jinja");

#[derive(Arbitrary, Debug)]
struct Input {
    prompt: Prompt,
    turns: Vec<Turn>,
    tool: Option<String>,
    tool_choice: Choice,
    continues: bool,
    parallel_calls: bool,
    variables: Option<String>,
    answer: Vec<Piece>,
}

/// Where the prompt comes from. Rendering costs much, so most do without.
#[derive(Arbitrary, Debug)]
enum Prompt {
    Nothing,
    ForcedCall,
    Written(String),
    ByQwen3,
    ByFallback,
}

#[derive(Arbitrary, Debug)]
struct Turn {
    role: Role,
    content: Option<String>,
    reasoning: Option<String>,
    call: Option<(String, String)>,
}

#[derive(Arbitrary, Debug)]
enum Role {
    System,
    User,
    Assistant,
    Tool,
    Other(String),
}

#[derive(Arbitrary, Debug)]
enum Choice {
    Auto,
    None,
    Required,
    Named,
}

/// A piece in which the model's text comes.
#[derive(Arbitrary, Debug)]
enum Piece {
    Text(String),
    Mark(u8),
    PartOfMark(u8, u8),
    Call(String, Vec<(String, String)>),
}

/// What the model's text is likely to hold besides the marks.
const JSON: [&str; 6] = [
    "{\"name\": \"f\", \"arguments\": ",
    "{\"arguments\": {}, \"name\": \"f\"}",
    "{}",
    "}",
    ", \"id\": 1",
    "<",
];

fuzz_target!(|input: Input| {
    let pieces: Vec<String> = input.answer.iter().map(text_of).collect();
    let conversation = conversation(&input);
    let prompt = match &input.prompt {
        Prompt::Nothing => String::new(),
        Prompt::ForcedCall => forced_call(&conversation),
        Prompt::Written(prompt) => prompt.clone(),
        Prompt::ByQwen3 => render(Some(QWEN3), &conversation),
        Prompt::ByFallback => render(None, &conversation),
    };
    let text = pieces.concat();
    if text.len() > 2048 {
        return;
    }
    let parse = |pieces: Vec<String>| {
        let mut parser = JinjaTemplate::parser(conversation.clone(), prompt.clone());
        let mut deltas: Vec<Delta> = pieces
            .into_iter()
            .flat_map(|piece| parser.push(piece))
            .collect();
        deltas.extend(parser.finish());
        join(deltas)
    };
    let parts = parse(vec![text.clone()]);
    assert_eq!(parse(pieces), parts, "in pieces");
    assert_eq!(
        parse(text.chars().map(String::from).collect()),
        parts,
        "by characters"
    );
    let begun = prompt
        .rsplit("<tool_call>\n")
        .next()
        .filter(|begun| begun.starts_with('{'));
    let is_all = ["", begun.unwrap_or_default()].into_iter().any(|begun| {
        let forced = must_call(&conversation);
        Written {
            begun,
            text: &text,
            forced,
        }
        .adds_up_to(&parts)
    });
    assert!(is_all, "{parts:?} is not {text:?} after {prompt:?}");
});

fn must_call(conversation: &Conversation) -> bool {
    match conversation.tool_choice {
        ToolChoice::Auto | ToolChoice::None => false,
        ToolChoice::Required | ToolChoice::Named(_) => true,
    }
}

/// How a prompt ends that begins the call which the conversation asks for.
fn forced_call(conversation: &Conversation) -> String {
    match &conversation.tool_choice {
        ToolChoice::Auto | ToolChoice::None => String::new(),
        ToolChoice::Required => "<tool_call>\n{\"name\": \"".to_owned(),
        ToolChoice::Named(name) => {
            format!(
                "<tool_call>\n{{\"name\": {}, \"arguments\":",
                Value::from(name.as_str())
            )
        }
    }
}

/// The prompt; none where the conversation is refused.
fn render(template: Option<&str>, conversation: &Conversation) -> String {
    let model = ModelTemplate {
        model: "m".to_owned(),
        chat_template: template.map(str::to_owned),
        bos_token: None,
        eos_token: None,
        now: 0,
    };
    match JinjaTemplate::render(&model, conversation) {
        Ok(prompt) => {
            assert_eq!(prompt.constraint.is_some(), must_call(conversation));
            prompt.text
        }
        Err(refusal) => {
            assert!((400..600).contains(&refusal.status) && !refusal.message.is_empty());
            String::new()
        }
    }
}

fn text_of(piece: &Piece) -> String {
    let mark = |number: u8| {
        let mut all = MARKS.iter().chain(&JSON).cycle();
        *all.nth(number.into()).expect("a cycle has no end")
    };
    match piece {
        Piece::Text(text) => text.clone(),
        Piece::Mark(number) => mark(*number).to_owned(),
        Piece::PartOfMark(number, len) => {
            let mark = mark(*number);
            mark[..usize::from(*len) % mark.len()].to_owned()
        }
        Piece::Call(name, arguments) => {
            let arguments: serde_json::Map<_, _> = arguments
                .iter()
                .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
                .collect();
            let call = json!({"name": name, "arguments": arguments});
            format!("<tool_call>\n{call}\n</tool_call>")
        }
    }
}

fn conversation(input: &Input) -> Conversation {
    let message = |turn: &Turn| {
        let role = match &turn.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
            Role::Other(role) => role,
        };
        let call = |(name, arguments): &(String, String)| ToolCall {
            id: "call_0".to_owned(),
            name: name.clone(),
            arguments: arguments.clone(),
        };
        Message {
            content: turn.content.clone(),
            reasoning: turn.reasoning.clone(),
            tool_calls: turn.call.iter().map(call).collect(),
            ..Message::new(role, "")
        }
    };
    let tool = |name: &String| Tool {
        name: name.clone(),
        definition: json!({"type": "function", "function": {"name": name}}).to_string(),
    };
    Conversation {
        tools: input.tool.iter().map(tool).collect(),
        tool_choice: match (&input.tool_choice, &input.tool) {
            (Choice::Required, Some(_)) => ToolChoice::Required,
            (Choice::Named, Some(name)) => ToolChoice::Named(name.clone()),
            (Choice::None, _) => ToolChoice::None,
            _ => ToolChoice::Auto,
        },
        add_generation_prompt: !input.continues,
        continue_final_message: input.continues,
        parallel_tool_calls: input.parallel_calls,
        template_variables: input.variables.clone(),
        ..Conversation::new(input.turns.iter().map(message).collect())
    }
}
