//! However an answer comes, it is the same.

use plugin_sdk::FinishReason;
use serde_json::{Value, json};

use super::*;

/// The output that a client has who only adds up deltas, as OpenAI's clients do: items and parts as they began, text and
/// log probabilities appended. The status of an item is only known from its end.
fn accumulated(events: &[Value]) -> Vec<Value> {
    let mut output: Vec<Value> = Vec::new();
    for event in events {
        let index = event["output_index"].as_u64().unwrap_or(0) as usize;
        match event["type"].as_str().unwrap() {
            "response.output_item.added" => {
                assert_eq!(index, output.len());
                output.push(event["item"].clone());
            }
            "response.content_part.added" => {
                let content = output[index]["content"].as_array_mut().unwrap();
                content.push(event["part"].clone());
            }
            "response.output_text.delta" => {
                let part = &mut output[index]["content"][0];
                append(&mut part["text"], &event["delta"]);
                let logprobs = event["logprobs"].as_array().unwrap().clone();
                part["logprobs"].as_array_mut().unwrap().extend(logprobs);
            }
            "response.reasoning_text.delta" => {
                append(&mut output[index]["content"][0]["text"], &event["delta"]);
            }
            "response.function_call_arguments.delta" => {
                append(&mut output[index]["arguments"], &event["delta"]);
            }
            "response.output_item.done" => {
                output[index]["status"] = event["item"]["status"].clone();
                assert_eq!(output[index], event["item"]);
            }
            _ => {}
        }
    }
    output
}

fn append(text: &mut Value, more: &Value) {
    *text = json!(text.as_str().unwrap().to_owned() + more.as_str().unwrap());
}

fn answers() -> Vec<Vec<Event>> {
    let mut text_and_calls = vec![text("Let "), text("me see.")];
    text_and_calls.extend(two_calls().split_off(2));
    vec![
        vec![text("a"), finished(0, FinishReason::Stop)],
        vec![reasoning("Hm."), finished(0, FinishReason::Length)],
        two_calls(),
        text_and_calls,
        vec![
            chosen(0, vec![token("Hm", -1.0)]),
            reasoning("Hm"),
            chosen(0, vec![token("a", -0.5), token("b", -0.25)]),
            text("ab"),
            chosen(0, vec![token("c", -0.75)]),
            text("c"),
            chosen(0, vec![token("", -2.0)]),
            finished(0, FinishReason::Stop),
        ],
        vec![
            text("a"),
            grown(0, call(0, "f"), 1),
            reasoning("b"),
            text("c"),
            finished(0, FinishReason::ContentFilter),
        ],
        vec![finished(0, FinishReason::Stop)],
    ]
}

#[test]
fn the_deltas_of_a_stream_add_up_to_its_last_event_and_to_the_whole_answer() {
    let fields = r#""include":["message.output_text.logprobs"],"top_logprobs":1"#;
    for events in answers() {
        let whole = body_of(fields, events.clone());
        let stream = stream_of(fields, events);
        let last = stream.last().unwrap();
        assert_eq!(last["response"], whole);
        assert_eq!(Value::from(accumulated(&stream)), whole["output"]);
    }
}

#[test]
fn an_item_ends_before_the_next_begins_and_all_have_ended_before_the_response_has() {
    for events in answers() {
        let mut open = None;
        for event in stream_of("", events) {
            let index = event["output_index"].as_u64();
            match event["type"].as_str().unwrap() {
                "response.output_item.added" => {
                    assert_eq!(std::mem::replace(&mut open, index), None)
                }
                "response.output_item.done" => assert_eq!(open.take(), index),
                _ if index.is_some() => assert_eq!(open, index),
                _ => assert_eq!(open, None),
            }
        }
    }
}

#[test]
fn events_are_numbered_without_a_gap_and_named_alike_in_both_places() {
    for events in answers() {
        let (_, answer) = accept(RESPONSES, response(r#""stream":true"#));
        let transcript = run(answer, vec![events], usage(3));
        let names = transcript
            .lines()
            .filter_map(|line| line.strip_prefix("event: "));
        let data = data(&transcript);
        assert_eq!(names.clone().count(), data.len());
        for (number, (name, data)) in names.zip(&data).enumerate() {
            assert_eq!(data["sequence_number"], number);
            assert_eq!(data["type"], name);
        }
        assert!(!transcript.contains("[DONE]"));
    }
}
