//! What a parser made of the model's text, and whether that is the text.

use std::collections::BTreeSet;

use plugin_sdk::Delta;
use serde_json::value::RawValue;

/// The marks, and the newline that belongs to those beside it.
pub const MARKS: [&str; 5] = ["<think>", "</think>", "<tool_call>", CALL_END, "\n"];

const CALL_END: &str = "</tool_call>";

/// What the text came to; adjacent pieces of one kind are one.
#[derive(Debug, PartialEq)]
pub enum Part {
    /// Answer text.
    Content(String),
    /// Reasoning text.
    Reasoning(String),
    /// A call's name and arguments.
    Call(String, String),
}

/// Panics if a call's arguments come before it or after something else, or calls are not counted from 0.
pub fn join(deltas: Vec<Delta>) -> Vec<Part> {
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

/// What a model wrote.
pub struct Written<'a> {
    /// The part of a call that the prompt had written already.
    pub begun: &'a str,
    /// The rest.
    pub text: &'a str,
    /// Whether the model had to call a tool: what it had no time to write of a call is then not told at all.
    pub forced: bool,
}

impl Written<'_> {
    /// Whether the parts, in order, are what was written, but for marks, newlines between them and what stands in a call besides
    /// name and arguments. Follows all ways to read it at once: where a mark ends and text begins is not always plain to see.
    pub fn adds_up_to(&self, parts: &[Part]) -> bool {
        let all = format!("{}{}", self.begun, self.text);
        let mut places = BTreeSet::from([0, self.begun.len()]);
        // Blanks before the reasoning are dropped with its mark.
        places.insert(all.len() - self.text.trim_start().len());
        for part in parts {
            let from = skip_marks(places, &all).into_iter();
            places = match part {
                Part::Content(text) | Part::Reasoning(text) => from
                    .filter(|&at| all[at..].starts_with(text.as_str()))
                    .map(|at| at + text.len())
                    .collect(),
                Part::Call(name, arguments) => from
                    .flat_map(|at| behind_call(&all[at..], name, arguments))
                    .map(|rest| all.len() - rest.len())
                    .collect(),
            };
        }
        let is_in_call = |&at: &usize| all[..at].ends_with("<tool_call>") || at < self.begun.len();
        let places = skip_marks(places, &all);
        places.contains(&all.len()) || (self.forced && places.iter().any(is_in_call))
    }
}

fn skip_marks(mut places: BTreeSet<usize>, text: &str) -> BTreeSet<usize> {
    let mut fresh: Vec<usize> = places.iter().copied().collect();
    while let Some(at) = fresh.pop() {
        for mark in MARKS {
            let after = at + mark.len();
            if text[at..].starts_with(mark) && places.insert(after) {
                fresh.push(after);
            }
        }
    }
    places
}

/// What may stand behind a call, which came out as it was written or when it was whole.
fn behind_call<'a>(text: &'a str, name: &str, arguments: &str) -> Vec<&'a str> {
    let mut behind = behind_whole_call(text, name, arguments);
    behind.extend(behind_written_call(text, name, arguments));
    behind
}

/// What stands behind a call that came out as it was written: name and arguments in this order, the latter whole or not. More
/// members may follow, but not behind the brace that ends the call.
fn behind_written_call<'a>(text: &'a str, name: &str, arguments: &str) -> Option<&'a str> {
    let after = |text: &'a str, token: &str| text.trim_start().strip_prefix(token);
    let rest = after(after(after(text, "{")?, "\"name\"")?, ":")?.trim_start();
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
    if values.next()?.ok()? != name {
        return None;
    }
    let rest = &rest[values.byte_offset()..];
    let rest = after(after(after(rest, ",")?, "\"arguments\"")?, ":")?;
    let rest = after(rest, arguments).filter(|_| arguments.starts_with('{'))?;
    let members = after(rest, ",").filter(|_| arguments.ends_with(['}', ']']));
    if let Some(members) = members {
        return Some(members.split_once(CALL_END).map_or("", |(_, rest)| rest));
    }
    Some(mark_begun(after(rest, "}").unwrap_or(rest).trim_start()))
}

/// The text, but nothing where it is no more than the beginning of a call's end.
fn mark_begun(text: &str) -> &str {
    if CALL_END.starts_with(text) { "" } else { text }
}

/// What may stand behind a call that came out when it was whole, whatever the order of its members.
fn behind_whole_call<'a>(text: &'a str, name: &str, arguments: &str) -> Vec<&'a str> {
    #[derive(serde::Deserialize)]
    struct Call<'a> {
        name: String,
        #[serde(borrow)]
        arguments: Option<&'a RawValue>,
    }
    let ends = text.match_indices(CALL_END).map(|(at, _)| at);
    let is_call = |&end: &usize| {
        serde_json::from_str::<Call>(&text[..end]).is_ok_and(|call| {
            call.name == name && call.arguments.map_or("{}", RawValue::get) == arguments
        })
    };
    let ends = ends.chain([text.len()]).filter(is_call);
    ends.map(|end| &text[end..]).collect()
}
