//! Any conversation gives a prompt or a refusal, and any text of the model, in any pieces, comes out once: as answer,
//! reasoning and calls that together are the text, but for marks and the newlines beside them.

#![no_main]

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use chat_template::JinjaTemplate;
use libfuzzer_sys::fuzz_target;
use plugin_sdk::{
    ChatTemplate, Conversation, Delta, Message, ModelTemplate, OutputParser, Tool, ToolCall,
    ToolChoice,
};
use serde_json::{Value, json, value::RawValue};

const QWEN3: &str = include_str!("../../plugins/chat-template/tests/golden/templates/qwen3.jinja");

#[derive(Arbitrary, Debug)]
struct Input {
    prompt: Prompt,
    turns: Vec<Turn>,
    tool: Option<String>,
    tool_choice: Choice,
    continues: bool,
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

/// What the text came to; adjacent pieces of one kind are one.
#[derive(Debug, PartialEq)]
enum Part {
    Content(String),
    Reasoning(String),
    Call(String, String),
}

const MARKS: [&str; 8] = [
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "\n",
    "{\"name\": \"f\", \"arguments\": ",
    "{}",
    "}",
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
    let is_all =
        adds_up(&parts, "", &text) || begun.is_some_and(|begun| adds_up(&parts, begun, &text));
    assert!(is_all, "{parts:?} is not {text:?} after {prompt:?}");
});

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
    let rendered = JinjaTemplate::render(&model, conversation);
    rendered.unwrap_or_else(|refusal| {
        assert!((400..600).contains(&refusal.status) && !refusal.message.is_empty());
        String::new()
    })
}

fn text_of(piece: &Piece) -> String {
    let mark = |number: u8| MARKS[usize::from(number) % MARKS.len()];
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
        template_variables: input.variables.clone(),
        ..Conversation::new(input.turns.iter().map(message).collect())
    }
}

/// Panics if a call's arguments come before it, or calls are not counted from 0.
fn join(deltas: Vec<Delta>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut num_calls = 0;
    for delta in deltas {
        match (delta, parts.last_mut()) {
            (Delta::Content(text), Some(Part::Content(last))) => *last += &text,
            (Delta::Reasoning(text), Some(Part::Reasoning(last))) => *last += &text,
            (Delta::Content(text), _) => parts.push(Part::Content(text)),
            (Delta::Reasoning(text), _) => parts.push(Part::Reasoning(text)),
            (Delta::ToolCallStart(start), _) => {
                assert_eq!(start.index, num_calls);
                num_calls += 1;
                parts.push(Part::Call(start.name, String::new()));
            }
            (Delta::ToolCallArguments(more), Some(Part::Call(_, arguments))) => {
                assert_eq!(more.index + 1, num_calls);
                *arguments += &more.text;
            }
            (Delta::ToolCallArguments(_), _) => panic!("arguments without a call"),
        }
    }
    parts
}

/// Whether the parts, in order, are the text after `begun`, but for marks and newlines between them. Follows all ways to
/// read the text at once: where a mark ends and text begins is not always plain to see.
fn adds_up(parts: &[Part], begun: &str, text: &str) -> bool {
    let all = format!("{begun}{text}");
    let mut places = BTreeSet::from([0, begun.len()]);
    // Blanks before the reasoning are dropped with its mark.
    places.insert(all.len() - text.trim_start().len());
    for part in parts {
        places = skip_marks(places, &all);
        places = match part {
            Part::Content(text) | Part::Reasoning(text) => {
                let stands_at = |&at: &usize| all[at..].starts_with(text.as_str());
                places
                    .into_iter()
                    .filter(stands_at)
                    .map(|at| at + text.len())
                    .collect()
            }
            Part::Call(name, arguments) => {
                let ends: Vec<_> = all
                    .match_indices("</tool_call>")
                    .map(|(at, _)| at)
                    .chain([all.len()])
                    .collect();
                let is_call = |from: usize, to: usize| {
                    from <= to && read_call(&all[from..to], name, arguments)
                };
                let ends_of = |from: usize| {
                    ends.iter()
                        .copied()
                        .filter(move |&to| is_call(from, to))
                        .collect::<Vec<_>>()
                };
                places.into_iter().flat_map(ends_of).collect()
            }
        };
    }
    skip_marks(places, &all).contains(&all.len())
}

fn skip_marks(mut places: BTreeSet<usize>, text: &str) -> BTreeSet<usize> {
    let mut fresh: Vec<usize> = places.iter().copied().collect();
    while let Some(at) = fresh.pop() {
        for mark in &MARKS[..5] {
            let after = at + mark.len();
            if text[at..].starts_with(mark) && places.insert(after) {
                fresh.push(after);
            }
        }
    }
    places
}

fn read_call(text: &str, name: &str, arguments: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Call<'a> {
        name: String,
        #[serde(borrow)]
        arguments: Option<&'a RawValue>,
    }
    serde_json::from_str::<Call>(text).is_ok_and(|call| {
        call.name == name && call.arguments.map_or("{}", RawValue::get) == arguments
    })
}
