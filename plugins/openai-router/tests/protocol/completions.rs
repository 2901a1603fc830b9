//! Completion answers, whole and streamed.

use plugin_sdk::{ApiError, FinishReason, Input};

use crate::support::*;

fn chunks(lines: &[&str]) -> String {
    transcript("text_completion", "cmpl-r1", lines)
}

#[test]
fn a_whole_answer_numbers_choices_by_prompt_and_then_by_sample() {
    let (request, answer) = accept(COMPLETIONS, r#"{"model":"tiny","prompt":["a","b"],"n":2}"#);
    assert_eq!(
        request.inputs,
        [Input::Text("a".to_owned()), Input::Text("b".to_owned())]
    );
    assert_eq!(request.n, 2);
    let mut events: Vec<_> = [3, 1, 0, 2]
        .map(|choice| content(choice, &format!("c{choice}"), 1))
        .into();
    events.extend([0, 1, 2, 3].map(|choice| finished(choice, FinishReason::Length)));
    let expected = concat!(
        r#"{"id":"cmpl-r1","object":"text_completion","created":1800000000,"model":"tiny","choices":["#,
        r#"{"index":0,"text":"c0","logprobs":null,"finish_reason":"length"},"#,
        r#"{"index":1,"text":"c1","logprobs":null,"finish_reason":"length"},"#,
        r#"{"index":2,"text":"c2","logprobs":null,"finish_reason":"length"},"#,
        r#"{"index":3,"text":"c3","logprobs":null,"finish_reason":"length"}],"#,
        r#""usage":{"prompt_tokens":7,"completion_tokens":4,"total_tokens":11,"#,
        r#""prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":1}}}"#,
    );
    assert_eq!(run(answer, vec![events], usage(4)), expected);
}

#[test]
fn a_reason_known_with_the_last_text_rides_on_it() {
    let (_, answer) = accept(COMPLETIONS, completion(r#""stream":true"#));
    let batches = vec![
        vec![content(0, "a", 1)],
        vec![content(0, "b", 2), finished(0, FinishReason::Stop)],
    ];
    let expected = chunks(&[
        r#"…"choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":0,"text":"b","logprobs":null,"finish_reason":"stop"}]}"#,
        "[DONE]",
    ]);
    assert_eq!(run(answer, batches, usage(2)), expected);
}

#[test]
fn a_reason_known_later_gets_a_chunk_without_text() {
    let (_, answer) = accept(
        COMPLETIONS,
        completion(r#""stream":true,"stream_options":{"include_usage":true}"#),
    );
    let batches = vec![
        vec![content(0, "a", 1)],
        vec![finished(0, FinishReason::Length)],
    ];
    let expected = chunks(&[
        r#"…"choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":null}],"usage":null}"#,
        r#"…"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"length"}],"usage":null}"#,
        r#"…"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":1,"total_tokens":8,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":1}}}"#,
        "[DONE]",
    ]);
    assert_eq!(run(answer, batches, usage(1)), expected);
}

#[test]
fn a_reason_never_rides_on_another_choices_text() {
    let (_, answer) = accept(COMPLETIONS, completion(r#""stream":true,"n":2"#));
    let events = vec![
        content(1, "b", 1),
        finished(0, FinishReason::Stop),
        finished(1, FinishReason::Stop),
    ];
    let expected = chunks(&[
        r#"…"choices":[{"index":1,"text":"b","logprobs":null,"finish_reason":null}]}"#,
        r#"…"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}]}"#,
        r#"…"choices":[{"index":1,"text":"","logprobs":null,"finish_reason":"stop"}]}"#,
        "[DONE]",
    ]);
    assert_eq!(run(answer, vec![events], usage(1)), expected);
}

#[test]
fn a_failure_in_the_middle_of_a_stream_is_an_event_and_then_the_end() {
    let (_, answer) = accept(COMPLETIONS, completion(r#""stream":true"#));
    let text = run_failing(
        answer,
        vec![vec![content(0, "a", 1)]],
        ApiError::server("Gone."),
    );
    let expected = chunks(&[
        r#"…"choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":null}]}"#,
        r#"{"error":{"message":"Gone.","type":"server_error","param":null,"code":null}}"#,
        "[DONE]",
    ]);
    assert_eq!(text, expected);
}

#[test]
fn a_prompt_has_four_shapes() {
    let inputs = |prompt: &str| {
        accept(
            COMPLETIONS,
            format!(r#"{{"model":"tiny","prompt":{prompt}}}"#),
        )
        .0
        .inputs
    };
    assert_eq!(inputs(r#""a""#), [Input::Text("a".to_owned())]);
    assert_eq!(inputs(r#"["a"]"#), [Input::Text("a".to_owned())]);
    assert_eq!(inputs("[1, 2]"), [Input::Tokens(vec![1, 2])]);
    assert_eq!(
        inputs("[ [1], [2, 3] ]"),
        [Input::Tokens(vec![1]), Input::Tokens(vec![2, 3])]
    );
}

#[test]
fn a_completion_without_a_limit_is_16_tokens_long_or_as_long_as_its_minimum() {
    let max_tokens = |fields: &str| {
        accept(COMPLETIONS, completion(fields))
            .0
            .sampling
            .max_tokens
    };
    assert_eq!(max_tokens(""), Some(16));
    assert_eq!(max_tokens(r#""max_tokens":300"#), Some(300));
    assert_eq!(max_tokens(r#""min_tokens":40"#), Some(40));
}
