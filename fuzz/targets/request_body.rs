//! Any body to any path: it is refused so that a client can read why, or it becomes a task within the contract's ranges, which
//! depends neither on the order of the body's keys nor on the blanks between them. The answer to it is JSON or events that are.
//!
//! The first byte chooses the path: `0` is the first.

#![no_main]

use std::collections::BTreeMap;

use fuzz::{assert_error_object, post_paths, send, stream::events};
use libfuzzer_sys::fuzz_target;
use openai_router::Answer;
use plugin_sdk::{Constraint, InferenceRequest, Input, Json, Reply, Sampling, Task, Usage};
use serde_json::value::RawValue;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, body)) = data.split_first() else {
        return;
    };
    let paths = post_paths();
    let path = &paths[usize::from(choice.wrapping_sub(b'0')) % paths.len()];
    let (mut task, answer) = match send(path, body, "{}") {
        Ok(accepted) => accepted,
        Err(refusal) => {
            assert!((400..500).contains(&refusal.status), "{}", refusal.status);
            return assert_error_object(&refusal.body);
        }
    };
    assert_within_contract(&mut task);
    assert_answers(answer);
    let raw: &RawValue = serde_json::from_slice(body).expect("what was accepted is JSON");
    let mut other = String::new();
    rewrite(raw.get(), &LOOSE, 0, &mut other);
    match send(path, other.as_bytes(), "{}") {
        Ok((again, _)) => assert_eq!(canonical(again), canonical(task), "{other}"),
        Err(refusal) => panic!("{other}: {}", String::from_utf8_lossy(&refusal.body)),
    }
});

/// An answer of no events, which repeats what it does of its request.
fn assert_answers(mut answer: Answer) {
    let is_stream = answer
        .headers()
        .iter()
        .any(|header| header.value == b"text/event-stream");
    let out = answer.finish(Usage::default());
    if !is_stream {
        let _: &RawValue = serde_json::from_slice(&out).expect("a body is JSON");
        return;
    }
    for (_, data) in events(&out) {
        assert!(
            data == "[DONE]" || serde_json::from_str::<&RawValue>(data).is_ok(),
            "{data}"
        );
    }
}

/// By the contract, `types.wit`.
fn assert_within_contract(task: &mut Task) {
    let (model, salt) = match task {
        Task::Generate(request) => {
            assert_in_range(request);
            (&request.model, &request.cache_salt)
        }
        Task::Embed(request) => (&request.model, &request.cache_salt),
        Task::Tokenize(request) => (&request.model, &None),
    };
    assert!(!model.is_empty());
    assert!(
        salt.as_ref()
            .is_none_or(|salt| (1..=256).contains(&salt.len()))
    );
    let detokenizes = matches!(task, Task::Tokenize(_));
    let inputs = inputs(task);
    assert!(!inputs.is_empty());
    for input in inputs {
        match input {
            Input::Chat(chat) => assert!(!chat.messages.is_empty()),
            Input::Tokens(tokens) => assert!(detokenizes || !tokens.is_empty()),
            Input::Text(_) => {}
        }
    }
}

fn assert_in_range(request: &InferenceRequest) {
    let Sampling {
        temperature,
        top_p,
        min_p,
        repetition_penalty,
        presence_penalty,
        frequency_penalty,
        logprobs,
        ..
    } = request.sampling;
    let sampling = &request.sampling;
    let within = |value: Option<f32>, least: f32, most: f32| {
        value.is_none_or(|value| (least..=most).contains(&value))
    };
    assert!(request.n >= 1 && logprobs.is_none_or(|len| len <= 20));
    assert!(within(temperature, 0.0, 2.0) && within(min_p, 0.0, 1.0));
    assert!(within(top_p, f32::MIN_POSITIVE, 1.0));
    assert!(within(repetition_penalty, f32::from_bits(1), f32::MAX));
    assert!(within(presence_penalty, -2.0, 2.0) && within(frequency_penalty, -2.0, 2.0));
    let biases = &sampling.logit_bias;
    assert!(
        biases
            .iter()
            .all(|&(_, bias)| within(Some(bias), -100.0, 100.0))
    );
    let most = sampling.max_tokens;
    assert!(most.is_none_or(|most| most >= sampling.min_tokens));
    let is_chat = matches!(request.inputs[..], [Input::Chat(_), ..]);
    assert!(!is_chat || (most != Some(0) && !request.echo));
    assert!(sampling.stop.iter().all(|text| !text.is_empty()));
}

/// How to write JSON again.
struct Style {
    blank: &'static str,
    backwards: bool,
}

const LOOSE: Style = Style {
    blank: " \n\t\r",
    backwards: true,
};
const TIGHT: Style = Style {
    blank: "",
    backwards: false,
};

/// Writes a JSON text again. Numbers and strings stay as they are, and so does what is too deep or has a key that is no text.
fn rewrite(text: &str, style: &Style, depth: usize, out: &mut String) {
    out.push_str(style.blank);
    let members = serde_json::from_str::<BTreeMap<String, &RawValue>>(text);
    let items = serde_json::from_str::<Vec<&RawValue>>(text);
    match (members, items) {
        (Ok(members), _) if depth < 64 => {
            let mut members: Vec<_> = members.into_iter().collect();
            if style.backwards {
                members.reverse();
            }
            write_list(["{", "}"], members, out, |(key, value), out| {
                out.push_str(style.blank);
                out.push_str(&serde_json::Value::from(key).to_string());
                out.push(':');
                rewrite(value.get(), style, depth + 1, out);
            });
        }
        (_, Ok(items)) if depth < 64 => write_list(["[", "]"], items, out, |item, out| {
            rewrite(item.get(), style, depth + 1, out);
        }),
        _ => out.push_str(text.trim_matches([' ', '\n', '\t', '\r'])),
    }
    out.push_str(style.blank);
}

fn write_list<T>(
    [open, close]: [&str; 2],
    items: Vec<T>,
    out: &mut String,
    write: impl Fn(T, &mut String),
) {
    out.push_str(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push_str(close);
}

/// The task with the client's own JSON in one style.
fn canonical(mut task: Task) -> Task {
    let tighten = |json: &mut Json| {
        let mut out = String::new();
        rewrite(json, &TIGHT, 0, &mut out);
        assert!(!out.is_empty(), "JSON in a request is never empty");
        *json = out;
    };
    if let Task::Generate(request) = &mut task
        && let Some(Constraint::JsonSchema(schema)) = &mut request.sampling.constraint
    {
        tighten(schema);
    }
    for input in inputs(&mut task) {
        if let Input::Chat(chat) = input {
            let definitions = chat.tools.iter_mut().map(|tool| &mut tool.definition);
            definitions
                .chain(&mut chat.template_variables)
                .for_each(tighten);
        }
    }
    task
}

fn inputs(task: &mut Task) -> &mut [Input] {
    match task {
        Task::Generate(request) => &mut request.inputs,
        Task::Embed(request) => &mut request.inputs,
        Task::Tokenize(request) => &mut request.inputs,
    }
}
