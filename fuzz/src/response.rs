//! The stream of a response read back, and what it is to say: the items that the engine's events come to.

use plugin_sdk::{Delta, Event};
use serde_json::{Value, json};

use crate::stream::events;

/// An item of the output.
#[derive(Debug, Default, PartialEq)]
pub struct Item {
    /// `reasoning`, `message` or `function_call`.
    kind: String,
    /// A call's.
    name: String,
    /// Or a call's arguments.
    text: String,
    /// A message's, each as text.
    tokens: Vec<String>,
}

/// What these events of one choice come to. An item ends where another begins: what belongs to it and comes later is left out.
pub fn items(events: &[Event], parallel_calls: bool) -> Vec<Item> {
    let (mut items, mut num_calls, mut waiting) = (Vec::<Item>::new(), 0, Vec::new());
    for event in events {
        let delta = match event {
            Event::Logprobs(more) => {
                let tokens = more.tokens.iter().map(|token| &token.chosen.bytes);
                waiting.extend(tokens.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
                continue;
            }
            Event::Delta(grown) => &grown.delta,
            Event::Prompt(_) | Event::Embedding(_) | Event::Finished(_) => continue,
        };
        let (kind, text) = match delta {
            Delta::Content(text) => ("message", text),
            Delta::Reasoning(text) => ("reasoning", text),
            Delta::ToolCallArguments(more) => ("function_call", &more.text),
            Delta::ToolCallStart(start) => {
                waiting.clear();
                if parallel_calls || start.index == 0 {
                    num_calls = start.index + 1;
                    items.push(Item {
                        kind: "function_call".to_owned(),
                        name: start.name.clone(),
                        ..Item::default()
                    });
                }
                continue;
            }
        };
        if kind != "message" {
            waiting.clear();
        }
        let is_of_other =
            matches!(delta, Delta::ToolCallArguments(more) if more.index + 1 != num_calls);
        let goes_on = items.last().is_some_and(|last| last.kind == kind);
        if text.is_empty() || is_of_other || (kind == "function_call" && !goes_on) {
            continue;
        }
        if !goes_on {
            items.push(Item {
                kind: kind.to_owned(),
                ..Item::default()
            });
        }
        let last = items.last_mut().expect("one was there or was added");
        last.text += text;
        last.tokens.append(&mut waiting);
    }
    items
}

/// What a client knows of a response.
#[derive(Default)]
pub struct Read {
    /// The items.
    pub items: Vec<Item>,
    /// What the stream's error event said.
    pub error: Option<Value>,
    /// The last event's name, and its response.
    pub end: (String, Value),
    /// The items that have ended, as they were then.
    done: Vec<Value>,
}

/// Reads a stream. Panics unless its events are numbered and in the protocol's order, and agree about each item.
pub fn read(bytes: &[u8]) -> Read {
    let mut read = Read::default();
    for (number, (name, data)) in (0..).zip(events(bytes)) {
        let event: Value = serde_json::from_str(data).expect("data is JSON");
        let name = name.expect("events have names");
        assert_eq!(
            (&event["type"], &event["sequence_number"]),
            (&json!(name), &json!(number))
        );
        assert!(read.end.0.is_empty(), "nothing follows the end");
        match (number, name) {
            (0, "response.created") | (1, "response.in_progress") => {
                assert_eq!(event["response"]["status"], "in_progress");
                assert_eq!(event["response"]["output"], json!([]));
            }
            (2.., "error") if read.error.is_none() => read.error = Some(event),
            (2.., "response.completed" | "response.incomplete" | "response.failed") => {
                read.ends(name, &event["response"]);
            }
            (2.., _) if read.error.is_none() => read.is_told(name, &event),
            _ => panic!("{name} comes as number {number}"),
        }
    }
    read
}

impl Read {
    /// Takes note of what is said about an item.
    fn is_told(&mut self, name: &str, event: &Value) {
        assert_eq!(event["output_index"], self.done.len(), "one at a time");
        if name == "response.output_item.added" {
            assert_eq!(
                self.items.len(),
                self.done.len(),
                "the one before has ended"
            );
            self.items.push(item(&event["item"]));
            return;
        }
        assert_eq!(
            self.items.len(),
            self.done.len() + 1,
            "one is being written"
        );
        let last = self.items.last_mut().expect("there is one");
        let text = |value: &Value| value.as_str().expect("it is a text").to_owned();
        match name {
            "response.content_part.added" => assert_eq!(event["part"]["text"], ""),
            "response.content_part.done" => assert_eq!(event["part"]["text"], last.text),
            "response.reasoning_text.delta"
            | "response.output_text.delta"
            | "response.function_call_arguments.delta" => {
                last.text += &text(&event["delta"]);
                last.tokens.extend(tokens(&event["logprobs"]));
            }
            "response.reasoning_text.done" | "response.output_text.done" => {
                assert_eq!(event["text"], last.text);
            }
            "response.function_call_arguments.done" => {
                assert_eq!(
                    (&event["arguments"], &event["name"]),
                    (&json!(last.text), &json!(last.name))
                );
            }
            "response.output_item.done" => {
                assert_eq!(item(&event["item"]), *last);
                self.done.push(event["item"].clone());
            }
            _ => panic!("no event is called {name}"),
        }
    }

    /// The response holds the items as they ended, and the one that was being written.
    fn ends(&mut self, name: &str, response: &Value) {
        let output = response["output"].as_array().expect("there is a list");
        let (done, rest) = output.split_at(self.done.len());
        assert_eq!((done, output.len()), (&*self.done, self.items.len()));
        for begun in rest {
            assert_eq!(
                (name, &begun["status"]),
                ("response.failed", &json!("incomplete"))
            );
            assert_eq!(Some(&item(begun)), self.items.last());
        }
        assert_eq!(self.error.is_some(), name == "response.failed");
        assert_eq!(response["status"], name["response.".len()..]);
        self.end = (name.to_owned(), response.clone());
    }
}

fn item(body: &Value) -> Item {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let part = &body["content"][0];
    assert!(!text(&body["id"]).is_empty(), "items have ids");
    Item {
        kind: text(&body["type"]),
        name: text(&body["name"]),
        text: text(&part["text"]) + &text(&body["arguments"]),
        tokens: tokens(&part["logprobs"]).collect(),
    }
}

fn tokens(logprobs: &Value) -> impl Iterator<Item = String> {
    let entries = logprobs.as_array().into_iter().flatten();
    entries.map(|entry| entry["token"].as_str().expect("it is a text").to_owned())
}
