//! Any events in any batches, to any end: the streams of all endpoints are server-sent events that carry just what was pushed,
//! name each end once and stop there: at one `[DONE]`, or for a response at the event that says what became of it.

#![no_main]

use arbitrary::Arbitrary;
use fuzz::{
    MODEL, assert_error_object, response,
    script::{Choices, Happening, Prompt, Told},
    send,
    stream::{events, read_chunk},
};
use libfuzzer_sys::fuzz_target;
use plugin_sdk::{ApiError, Event, Reply, Usage};
use serde_json::{Value, json};

#[derive(Arbitrary, Debug)]
struct Script {
    endpoint: Endpoint,
    finish: Option<Finish>,
    include_usage: bool,
    continuous_usage: bool,
    batches: Vec<Vec<(u8, Happening)>>,
    /// Its status, message and field; absent: all goes well.
    failure: Option<(u16, String, Option<String>)>,
    /// What completions begin with, if anything.
    echo: Option<Prompt>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Endpoint {
    Chat { parallel_calls: bool },
    Completions,
    Responses { parallel_calls: bool },
}

#[derive(Arbitrary, Debug)]
enum Finish {
    Separate,
    Merged,
}

fuzz_target!(|script: Script| {
    let endpoint = script.endpoint;
    let options = json!({"include_usage": script.include_usage, "continuous_usage_stats": script.continuous_usage});
    let mut body = json!({"model": MODEL, "stream": true, "stream_options": options});
    let (path, num_choices) = ask(endpoint, &mut body);
    let (mut told, mut usage, mut batches) = (Choices::new(), Usage::default(), Vec::new());
    if let (Endpoint::Completions, Some(prompt)) = (endpoint, script.echo) {
        body["echo"] = json!(true);
        let (report, begun) = prompt.report();
        batches.push(vec![report]);
        told = (0..num_choices)
            .map(|choice| (choice, begun.clone()))
            .collect();
    }
    let settings = match script.finish {
        None => "{}",
        Some(Finish::Separate) => r#"{"finish":"separate"}"#,
        Some(Finish::Merged) => r#"{"finish":"merged"}"#,
    };
    let sent = send(path, body.to_string().as_bytes(), settings);
    let (_, mut answer) = sent.expect("it is a good request");

    for batch in script.batches {
        let mut happen = |(choice, happening): (u8, _)| -> Option<Event> {
            usage.completion_tokens += 1;
            let choice = u32::from(choice) % num_choices;
            told.entry(choice)
                .or_default()
                .happen(choice, happening, usage)
        };
        batches.push(batch.into_iter().filter_map(&mut happen).collect());
    }
    let is_whole = script.failure.is_none();
    if is_whole {
        let end = |choice| {
            let end = Happening::Finished(0);
            told.entry(choice).or_default().happen(choice, end, usage)
        };
        batches.push((0..num_choices).filter_map(end).collect());
    }
    let mut out: Vec<u8> = batches
        .iter()
        .flat_map(|batch| answer.push(batch.clone()))
        .collect();
    match script.failure {
        None => out.extend(answer.finish(usage)),
        Some((status, message, param)) => {
            let status = 400 + status % 200;
            let mut error = ApiError::new(status, "server_error", format!("no: {message}"));
            error.param = param;
            if out.is_empty() {
                return assert_error_object(&answer.fail(error));
            }
            out.extend(answer.fail(error));
        }
    }
    if let Endpoint::Responses { parallel_calls } = endpoint {
        let read = response::read(&out);
        assert_eq!(
            read.items,
            response::items(&batches.concat(), parallel_calls)
        );
        let finish = told.remove(&0).and_then(|told| told.finish);
        return assert_ends(&read.end, finish.filter(|_| is_whole), usage);
    }

    let mut frames: Vec<&str> = events(&out).into_iter().map(unnamed).collect();
    assert_eq!(frames.pop(), Some("[DONE]"), "the end is said last");
    if !is_whole {
        assert_error_object(frames.pop().expect("the error is told").as_bytes());
    }
    let parse = |data| -> Value { serde_json::from_str(data).expect("data is JSON") };
    let mut chunks: Vec<Value> = frames.into_iter().map(parse).collect();
    if is_whole && script.include_usage {
        let last = chunks.pop().expect("the usage is told");
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"]["completion_tokens"], usage.completion_tokens);
    }
    let mut read = Choices::new();
    for chunk in &chunks {
        assert_eq!(chunk["id"], chunks[0]["id"]);
        let has_usage = script.include_usage || script.continuous_usage;
        assert_eq!(chunk.get("usage").is_some(), has_usage);
        read_chunk(chunk, &mut read);
    }
    for (choice, told) in &mut told {
        let num_tokens = read.get(choice).map_or(0, |read| read.tokens.len());
        // Log probabilities wait for their text, which may not have come before a failure.
        told.tokens
            .truncate(if is_whole { usize::MAX } else { num_tokens });
        as_the_endpoint_tells(told, endpoint);
    }
    for choices in [&mut told, &mut read] {
        choices.retain(|_, told| *told != Told::default());
    }
    assert_eq!(read, told);
});

/// Completes a request for log probabilities too; returns its path and how many choices its answer has.
fn ask(endpoint: Endpoint, body: &mut Value) -> (&'static str, u32) {
    let (path, num_choices, more) = match endpoint {
        Endpoint::Chat { parallel_calls } => (
            "/v1/chat/completions",
            3,
            json!({"messages": [{"role": "user", "content": "hi"}], "n": 3, "logprobs": true,
                "parallel_tool_calls": parallel_calls}),
        ),
        Endpoint::Completions => (
            "/v1/completions",
            3,
            json!({"prompt": "hi", "n": 3, "logprobs": 1}),
        ),
        Endpoint::Responses { parallel_calls } => (
            "/v1/responses",
            1,
            json!({"input": "hi", "include": ["message.output_text.logprobs"],
                "parallel_tool_calls": parallel_calls}),
        ),
    };
    let more = more.as_object().cloned().unwrap_or_default();
    body.as_object_mut().expect("it is one").extend(more);
    (path, num_choices)
}

/// Panics unless a response ended as its one choice did, or failed if that had no end.
fn assert_ends((name, response): &(String, Value), finish: Option<String>, usage: Usage) {
    let expected = match finish.as_deref() {
        None => "response.failed",
        Some("length" | "content_filter") => "response.incomplete",
        Some(_) => "response.completed",
    };
    assert_eq!(name, expected);
    let counted = &response["usage"]["output_tokens"];
    let is_counted = *counted == usage.completion_tokens;
    assert!(if finish.is_some() {
        is_counted
    } else {
        counted.is_null()
    });
}

fn unnamed<'a>((name, data): (Option<&str>, &'a str)) -> &'a str {
    assert_eq!(name, None, "chunks have no names");
    data
}

/// Completions know one kind of text and no calls; chat tells of one call where the client cannot read several.
fn as_the_endpoint_tells(told: &mut Told, endpoint: Endpoint) {
    match endpoint {
        Endpoint::Chat { parallel_calls } | Endpoint::Responses { parallel_calls } => {
            told.all_text.clear();
            told.calls
                .truncate(if parallel_calls { usize::MAX } else { 1 });
        }
        Endpoint::Completions => {
            told.content.clear();
            told.reasoning.clear();
            told.calls.clear();
            if let Some(reason) = told
                .finish
                .as_mut()
                .filter(|reason| *reason == "tool_calls")
            {
                *reason = "stop".to_owned();
            }
        }
    }
}
