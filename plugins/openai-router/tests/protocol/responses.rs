//! Responses: what is read, what is refused, and the answers, whole and streamed.

mod accumulation;
mod refusals;
mod requests;
mod stream;
mod whole;

use plugin_sdk::{Delta, Event, FinishReason, PositionLogprobs};
use serde_json::Value;

use crate::support::*;

/// What the answers here repeat of a request that leaves everything to the server.
const ECHO: &str = concat!(
    r#""background":false,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"metadata":{},"#,
    r#""parallel_tool_calls":true,"previous_response_id":null,"prompt_cache_key":null,"#,
    r#""reasoning":{"effort":null,"summary":null},"safety_identifier":null,"service_tier":"default","store":false,"#,
    r#""temperature":null,"text":{"format":{"type":"text"},"verbosity":"medium"},"tool_choice":"auto","tools":[],"#,
    r#""top_logprobs":0,"top_p":null,"truncation":"disabled","user":null"#,
);

/// A transcript of events, numbered from 0. Each line is the event's type and the members that follow it; `{…` stands for
/// what a response begins with, and `…}` for what it repeats of its request.
fn events(lines: &[(&str, &str)]) -> String {
    let head = r#"{"id":"resp_r1","object":"response","created_at":1800000000,"#;
    let event = |(number, (name, members)): (usize, &(&str, &str))| {
        let members = members
            .replace("{…", head)
            .replace("…}", &format!("{ECHO}}}"));
        format!(
            "event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":{number},{members}}}\n\n"
        )
    };
    lines.iter().enumerate().map(event).collect()
}

/// The data of each event of a stream.
fn data(text: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

/// The whole answer to a request with these fields.
fn body_of(fields: &str, events: Vec<Event>) -> Value {
    let (_, answer) = accept(RESPONSES, response(fields));
    serde_json::from_str(&run(answer, vec![events], usage(3))).unwrap()
}

/// The events of the streamed answer to a request with these fields, each event of the engine in a batch of its own.
fn stream_of(fields: &str, events: Vec<Event>) -> Vec<Value> {
    let comma = if fields.is_empty() { "" } else { "," };
    let (_, answer) = accept(
        RESPONSES,
        response(&format!(r#""stream":true{comma}{fields}"#)),
    );
    let batches = events.into_iter().map(|event| vec![event]).collect();
    data(&run(answer, batches, usage(3)))
}

fn reasoning(text: &str) -> Event {
    grown(0, Delta::Reasoning(text.to_owned()), 1)
}

fn text(text: &str) -> Event {
    content(0, text, 1)
}

fn token(text: &str, logprob: f32) -> PositionLogprobs {
    position((text.as_bytes(), logprob), &[(text.as_bytes(), logprob)])
}

/// Reasoning, and then two calls.
fn two_calls() -> Vec<Event> {
    vec![
        reasoning("Two "),
        reasoning("cities."),
        grown(0, call(0, "weather"), 1),
        grown(0, arguments(0, r#"{"city":"#), 2),
        grown(0, arguments(0, r#""Rome"}"#), 3),
        grown(0, call(1, "time"), 4),
        grown(0, arguments(1, "{}"), 5),
        finished(0, FinishReason::ToolCalls),
    ]
}
