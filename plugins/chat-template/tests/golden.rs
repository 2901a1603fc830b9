//! Prompts are byte for byte those of Transformers: see `golden/make.py`, which made what is compared with here.

use std::fs;
use std::path::Path;

use chat_template::JinjaTemplate;
use plugin_sdk::{ChatTemplate, Conversation, Message, ModelTemplate, Tool, ToolCall, ToolChoice};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    template: String,
    model: Model,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Model {
    bos_token: Option<String>,
    eos_token: Option<String>,
    now: u64,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    messages: Vec<Turn>,
    tools: Vec<String>,
    tool_choice: String,
    add_generation_prompt: bool,
    continue_final_message: bool,
    variables: Option<String>,
    prompt: Option<String>,
    /// What the template said when it refused; absent for a failure of any other kind.
    error: Option<String>,
}

#[derive(Deserialize)]
struct Dates {
    format: String,
    dates: Vec<Date>,
}

#[derive(Deserialize)]
struct Date {
    now: u64,
    text: String,
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    content: Option<String>,
    reasoning: Option<String>,
    name: Option<String>,
    #[serde(default)]
    tool_calls: Vec<Call>,
    tool_call_id: Option<String>,
}

#[derive(Deserialize)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

#[test]
fn qwen3_prompts_are_those_of_transformers() {
    compare("qwen3");
}

#[test]
fn smollm2_prompts_are_those_of_transformers() {
    compare("smollm2");
}

#[test]
fn prompts_with_headers_and_dates_are_those_of_transformers() {
    compare("headers");
}

#[test]
fn prompts_of_alternating_turns_are_those_of_transformers() {
    compare("brackets");
}

#[test]
fn whitespace_around_blocks_is_that_of_transformers() {
    compare("blocks");
}

#[test]
fn jinja_features_write_what_they_write_in_transformers() {
    compare("features");
}

#[test]
fn prompts_that_open_a_thought_are_those_of_transformers() {
    compare("thinker");
}

#[test]
fn dates_are_written_as_python_writes_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/prompts/dates.json");
    let golden: Dates = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    for date in &golden.dates {
        let model = ModelTemplate {
            model: "dates".to_owned(),
            chat_template: Some("{{ strftime_now(messages[0].content) }}".to_owned()),
            bos_token: None,
            eos_token: None,
            now: date.now,
        };
        let conversation = Conversation::new(vec![Message::new("user", &golden.format)]);
        let found = JinjaTemplate::render(&model, &conversation).map(|prompt| prompt.text);
        assert_eq!(found.as_ref(), Ok(&date.text), "at {}", date.now);
    }
}

fn compare(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let golden = fs::read_to_string(folder.join(format!("prompts/{name}.json"))).unwrap();
    let golden: Golden = serde_json::from_str(&golden).unwrap();
    let template = fs::read_to_string(folder.join("templates").join(&golden.template)).unwrap();
    let model = ModelTemplate {
        model: name.to_owned(),
        chat_template: Some(template),
        bos_token: golden.model.bos_token,
        eos_token: golden.model.eos_token,
        now: golden.model.now,
    };
    assert!(golden.cases.len() > 30);

    let mut differing = Vec::new();
    for case in golden.cases {
        let found = JinjaTemplate::render(&model, &case.conversation()).map(|prompt| prompt.text);
        let agrees = match (&case.prompt, &case.error, &found) {
            (Some(prompt), _, Ok(found)) => prompt == found,
            (None, Some(refusal), Err(error)) => error.status == 400 && *refusal == error.message,
            (None, None, Err(error)) => error.status == 400,
            _ => false,
        };
        if !agrees {
            let wanted = case.prompt.or(case.error);
            let found = found.map_err(|error| error.message);
            differing.push(difference(
                &case.name,
                &wanted.unwrap_or_default(),
                &found.unwrap_or_else(|message| message),
            ));
        }
    }
    assert!(
        differing.is_empty(),
        "{} cases differ:\n{}",
        differing.len(),
        differing.join("\n")
    );
}

/// Both texts from shortly before the place where they part.
fn difference(name: &str, wanted: &str, found: &str) -> String {
    let pairs = wanted.chars().zip(found.chars());
    let same = pairs.take_while(|(a, b)| a == b).count();
    let part = |text: &str| -> String {
        text.chars()
            .skip(same.saturating_sub(20))
            .take(200)
            .collect()
    };
    format!(
        "{name}, character {same}\n wanted {:?}\n  found {:?}",
        part(wanted),
        part(found)
    )
}

impl Case {
    fn conversation(&self) -> Conversation {
        let tool = |definition: &String| Tool {
            name: "unused by templates".to_owned(),
            definition: definition.clone(),
        };
        Conversation {
            messages: self.messages.iter().map(Turn::message).collect(),
            tools: self.tools.iter().map(tool).collect(),
            tool_choice: match self.tool_choice.as_str() {
                "auto" => ToolChoice::Auto,
                "none" => ToolChoice::None,
                other => panic!("tool_choice {other} in a golden file"),
            },
            add_generation_prompt: self.add_generation_prompt,
            parallel_tool_calls: true,
            continue_final_message: self.continue_final_message,
            template_variables: self.variables.clone(),
        }
    }
}

impl Turn {
    fn message(&self) -> Message {
        let call = |call: &Call| ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        };
        Message {
            role: self.role.clone(),
            content: self.content.clone(),
            reasoning: self.reasoning.clone(),
            name: self.name.clone(),
            tool_calls: self.tool_calls.iter().map(call).collect(),
            tool_call_id: self.tool_call_id.clone(),
        }
    }
}
