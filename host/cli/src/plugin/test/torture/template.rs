//! For chat templates: every conversation that a router can hand on, and every text that a model can write.

use super::{DEEP, HUGE, MANY, deep_json, huge_text};
use crate::plugin::test::{
    records::{Conversation, Message, ModelTemplate, Tool},
    subject::Torture,
    template::Input,
};

/// What models write around reasoning and tool calls, and how templates begin and end a turn.
const MARKS: &str = "<think></think><tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call><|im_start|><|im_end|>";

pub(in crate::plugin::test) fn inputs() -> Vec<Torture<Input>> {
    vec![
        Torture::new("empty", empty()),
        Torture::new("huge", huge()),
        Torture::new("deep-json", [deep()]),
        Torture::new("many-items", many()),
        Torture::new("marks", marks()),
        Torture::new("model-files", model_files()),
    ]
}

fn saying(messages: Vec<Message>) -> Input {
    Input {
        conversation: Conversation {
            messages,
            ..Conversation::default()
        },
        ..Input::default()
    }
}

fn answered(pieces: Vec<String>) -> Input {
    Input {
        pieces,
        ..Input::default()
    }
}

fn empty() -> Vec<Input> {
    let nothing = Input {
        pieces: vec![String::new(); 3],
        ..saying(vec![Message::new("", "")])
    };
    vec![nothing, saying(vec![Message::default()])]
}

fn huge() -> Vec<Input> {
    vec![
        saying(vec![Message::new("user", huge_text())]),
        answered(vec![huge_text()]),
        // All of it may be the beginning of a mark.
        answered(vec!["<".repeat(HUGE / 4)]),
    ]
}

fn deep() -> Input {
    let object = format!("{}1{}", r#"{"a":"#.repeat(DEEP), "}".repeat(DEEP));
    Input {
        conversation: Conversation {
            tools: vec![Tool {
                name: "f".into(),
                definition: deep_json(),
            }],
            template_variables: Some(object.clone()),
            ..Conversation::default()
        },
        pieces: vec![format!("<tool_call>{object}</tool_call>"), object],
        ..Input::default()
    }
}

fn many() -> Vec<Input> {
    vec![
        saying(vec![Message::new("user", "x"); MANY]),
        answered(vec!["x".into(); MANY / 10]),
    ]
}

/// Marks that begin and never end, end and never began, are cut anywhere, and stand in what the client wrote.
fn marks() -> Vec<Input> {
    let halves = (0..MARKS.len())
        .flat_map(|at| [MARKS[..at].to_owned(), MARKS[at..].to_owned()])
        .collect();
    vec![
        Input {
            pieces: MARKS.chars().map(String::from).collect(),
            ..saying(vec![Message::new("user", MARKS)])
        },
        answered(halves),
        answered(vec![
            "<tool_call>".repeat(1000),
            "<think>".repeat(1000),
            "{".repeat(1000),
        ]),
    ]
}

/// Models without a template, and with one that is none.
fn model_files() -> Vec<Input> {
    let model = |chat_template: Option<&str>| Input {
        model: ModelTemplate {
            model: String::new(),
            chat_template: chat_template.map(Into::into),
            bos_token: None,
            eos_token: None,
            now: u64::MAX,
        },
        ..Input::default()
    };
    vec![
        model(None),
        model(Some("")),
        model(Some("{% for message in %}{{")),
        model(Some("{{ messages[9].content.x.y }}")),
    ]
}
