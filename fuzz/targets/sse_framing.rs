//! Any events in any batches, to any end: the streams of chat and completions are server-sent events that carry just what
//! was pushed, name each end once and stop at one `[DONE]`.

#![no_main]

use arbitrary::Arbitrary;
use fuzz::{
    MODEL, assert_error_object,
    script::{Choices, Happening, Told},
    send,
    stream::{events, read_chunk},
};
use libfuzzer_sys::fuzz_target;
use plugin_sdk::{ApiError, Event, Reply, Usage};
use serde_json::{Value, json};

const NUM_CHOICES: u32 = 3;

#[derive(Arbitrary, Debug)]
struct Script {
    endpoint: Endpoint,
    finish: Option<Finish>,
    include_usage: bool,
    continuous_usage: bool,
    batches: Vec<Vec<(u8, Happening)>>,
    /// Its status, message and field; absent: all goes well.
    failure: Option<(u16, String, Option<String>)>,
}

#[derive(Arbitrary, Debug, PartialEq)]
enum Endpoint {
    Chat { parallel_calls: bool },
    Completions,
}

#[derive(Arbitrary, Debug)]
enum Finish {
    Separate,
    Merged,
}

fuzz_target!(|script: Script| {
    let options = json!({"include_usage": script.include_usage, "continuous_usage_stats": script.continuous_usage});
    let mut body =
        json!({"model": MODEL, "n": NUM_CHOICES, "stream": true, "stream_options": options});
    let path = match script.endpoint {
        Endpoint::Chat { parallel_calls } => {
            body["messages"] = json!([{"role": "user", "content": "hi"}]);
            body["parallel_tool_calls"] = json!(parallel_calls);
            "/v1/chat/completions"
        }
        Endpoint::Completions => {
            body["prompt"] = json!("hi");
            "/v1/completions"
        }
    };
    let settings = match script.finish {
        None => "{}",
        Some(Finish::Separate) => r#"{"finish":"separate"}"#,
        Some(Finish::Merged) => r#"{"finish":"merged"}"#,
    };
    let sent = send(path, body.to_string().as_bytes(), settings);
    let (_, mut answer) = sent.expect("it is a good request");

    let (mut told, mut usage, mut out) = (Choices::new(), Usage::default(), Vec::new());
    for batch in script.batches {
        let mut happen = |(choice, happening): (u8, _)| -> Option<Event> {
            usage.completion_tokens += 1;
            let choice = u32::from(choice) % NUM_CHOICES;
            told.entry(choice)
                .or_default()
                .happen(choice, happening, usage)
        };
        out.extend(answer.push(batch.into_iter().filter_map(&mut happen).collect()));
    }
    let is_whole = script.failure.is_none();
    match script.failure {
        None => {
            let end = |choice| {
                let end = Happening::Finished(0);
                told.entry(choice).or_default().happen(choice, end, usage)
            };
            out.extend(answer.push((0..NUM_CHOICES).filter_map(end).collect()));
            out.extend(answer.finish(usage));
        }
        Some((status, message, param)) => {
            let status = 400 + status % 200;
            let mut error = ApiError::new(status, "server_error", format!("no: {message}"));
            error.param = param;
            let has_begun = !out.is_empty();
            out.extend(answer.fail(error));
            if !has_begun {
                return assert_error_object(&out);
            }
        }
    }

    let mut events = events(&out);
    assert_eq!(events.pop(), Some("[DONE]"), "the end is said last");
    if !is_whole {
        assert_error_object(events.pop().expect("the error is told").as_bytes());
    }
    let parse = |data| -> Value { serde_json::from_str(data).expect("data is JSON") };
    let mut chunks: Vec<Value> = events.into_iter().map(parse).collect();
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
        as_the_endpoint_tells(told, &script.endpoint);
    }
    for choices in [&mut told, &mut read] {
        choices.retain(|_, told| *told != Told::default());
    }
    assert_eq!(read, told);
});

/// Completions know one kind of text and no calls; chat tells of one call where the client cannot read several.
fn as_the_endpoint_tells(told: &mut Told, endpoint: &Endpoint) {
    match endpoint {
        Endpoint::Chat { parallel_calls } => {
            told.all_text.clear();
            told.calls
                .truncate(if *parallel_calls { usize::MAX } else { 1 });
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
