//! Completions that repeat their prompt.

use plugin_sdk::{Event, FinishReason, PromptReport, PromptToken, TokenLogprob};
use serde_json::{Value, json};

use crate::support::*;

/// The prompt of an input: `once`, in two tokens.
fn prompt(input: u32) -> Event {
    let token = |text: &str, logprob: Option<f32>| PromptToken {
        id: 0,
        bytes: text.into(),
        logprob,
        top: match logprob {
            Some(logprob) => vec![TokenLogprob {
                id: 1,
                bytes: b"x".to_vec(),
                logprob: logprob + 0.5,
            }],
            None => Vec::new(),
        },
    };
    Event::Prompt(PromptReport {
        input,
        text: "once".to_owned(),
        tokens: vec![token("on", None), token("ce", Some(-1.0))],
    })
}

fn whole(fields: &str, events: Vec<Event>) -> Value {
    let (_, answer) = accept(COMPLETIONS, completion(fields));
    serde_json::from_str::<Value>(&run(answer, vec![events], usage(1))).unwrap()["choices"].take()
}

#[test]
fn the_prompt_stands_before_every_one_of_its_completions() {
    let body = r#"{"model":"tiny","prompt":["once","once"],"n":2,"echo":true}"#;
    let (request, answer) = accept(COMPLETIONS, body);
    assert!(request.echo);
    let mut events = vec![prompt(0), prompt(1)];
    events.extend((0..4).map(|choice| content(choice, &format!(" {choice}"), 1)));
    events.extend((0..4).map(|choice| finished(choice, FinishReason::Stop)));
    let body: Value = serde_json::from_str(&run(answer, vec![events], usage(4))).unwrap();
    let texts: Vec<_> = (0..4)
        .map(|choice| body["choices"][choice]["text"].clone())
        .collect();
    assert_eq!(texts, ["once 0", "once 1", "once 2", "once 3"]);
}

#[test]
fn the_prompts_tokens_have_probabilities_but_for_the_first() {
    let events = vec![
        prompt(0),
        chosen(0, vec![position((b"!", -0.5), &[])]),
        content(0, "!", 1),
        finished(0, FinishReason::Stop),
    ];
    let choices = whole(r#""echo":true,"logprobs":1"#, events);
    assert_eq!(
        choices[0],
        json!({
            "index": 0, "text": "once!", "finish_reason": "stop",
            "logprobs": {
                "tokens": ["on", "ce", "!"],
                "token_logprobs": [null, -1.0, -0.5],
                "top_logprobs": [null, {"x": -0.5, "ce": -1.0}, {"!": -0.5}],
                "text_offset": [0, 2, 4],
            },
        })
    );
}

#[test]
fn without_tokens_to_generate_the_prompt_is_all() {
    let fields = r#""echo":true,"logprobs":0,"max_tokens":0"#;
    let (request, _) = accept(COMPLETIONS, completion(fields));
    assert_eq!(request.sampling.max_tokens, Some(0));
    let choices = whole(fields, vec![prompt(0), finished(0, FinishReason::Length)]);
    assert_eq!(choices[0]["text"], "once");
    assert_eq!(choices[0]["logprobs"]["tokens"], json!(["on", "ce"]));
}

#[test]
fn a_stream_begins_with_the_prompt_of_each_choice() {
    let (_, answer) = accept(
        COMPLETIONS,
        completion(r#""echo":true,"stream":true,"n":2"#),
    );
    let events = vec![
        prompt(0),
        content(1, "b", 1),
        finished(1, FinishReason::Stop),
        content(0, "a", 2),
        finished(0, FinishReason::Length),
    ];
    let expected = transcript(
        "text_completion",
        "cmpl-r1",
        &[
            r#"…"choices":[{"index":0,"text":"once","logprobs":null,"finish_reason":null}]}"#,
            r#"…"choices":[{"index":1,"text":"once","logprobs":null,"finish_reason":null}]}"#,
            r#"…"choices":[{"index":1,"text":"b","logprobs":null,"finish_reason":"stop"}]}"#,
            r#"…"choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":"length"}]}"#,
            "[DONE]",
        ],
    );
    assert_eq!(run(answer, vec![events], usage(2)), expected);
}
