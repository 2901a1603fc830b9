//! Responses sent as they are made: whole transcripts.

use plugin_sdk::{ApiError, FinishReason};

use super::*;

const BEGUN: &str = r#""response":{…"status":"in_progress","completed_at":null,"error":null,"incomplete_details":null,"model":"tiny","output":[],"usage":null,…}"#;

/// The transcript of a plain request's stream for these batches.
fn transcript(batches: Vec<Vec<Event>>) -> String {
    let (request, answer) = accept(RESPONSES, response(r#""stream":true"#));
    assert!(request.stream);
    run(answer, batches, usage(3))
}

#[test]
fn a_stream_is_of_events() {
    let (_, answer) = accept(RESPONSES, response(r#""stream":true"#));
    assert_eq!(
        header_of(&answer, "content-type").as_deref(),
        Some("text/event-stream")
    );
}

#[test]
fn a_text_is_opened_written_and_closed() {
    let batches = vec![
        vec![],
        vec![text("Hello "), text("\"you\"")],
        vec![finished(0, FinishReason::Stop)],
    ];
    let expected = events(&[
        ("response.created", BEGUN),
        ("response.in_progress", BEGUN),
        (
            "response.output_item.added",
            r#""output_index":0,"item":{"type":"message","id":"msg_08dc8307b57be76c_0","status":"in_progress","role":"assistant","content":[]}"#,
        ),
        (
            "response.content_part.added",
            r#""item_id":"msg_08dc8307b57be76c_0","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}"#,
        ),
        (
            "response.output_text.delta",
            r#""item_id":"msg_08dc8307b57be76c_0","output_index":0,"content_index":0,"delta":"Hello ","logprobs":[]"#,
        ),
        (
            "response.output_text.delta",
            r#""item_id":"msg_08dc8307b57be76c_0","output_index":0,"content_index":0,"delta":"\"you\"","logprobs":[]"#,
        ),
        (
            "response.output_text.done",
            r#""item_id":"msg_08dc8307b57be76c_0","output_index":0,"content_index":0,"text":"Hello \"you\"","logprobs":[]"#,
        ),
        (
            "response.content_part.done",
            r#""item_id":"msg_08dc8307b57be76c_0","output_index":0,"content_index":0,"part":{"type":"output_text","text":"Hello \"you\"","annotations":[],"logprobs":[]}"#,
        ),
        (
            "response.output_item.done",
            r#""output_index":0,"item":{"type":"message","id":"msg_08dc8307b57be76c_0","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hello \"you\"","annotations":[],"logprobs":[]}]}"#,
        ),
        (
            "response.completed",
            r#""response":{…"status":"completed","completed_at":null,"error":null,"incomplete_details":null,"model":"tiny","output":[{"type":"message","id":"msg_08dc8307b57be76c_0","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hello \"you\"","annotations":[],"logprobs":[]}]}],"usage":{"input_tokens":7,"input_tokens_details":{"cache_write_tokens":0,"cached_tokens":4},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":10},…}"#,
        ),
    ]);
    assert_eq!(transcript(batches), expected);
}

#[test]
fn reasoning_and_each_call_are_items_one_after_the_other() {
    let rs = r#""item_id":"rs_08dc8307b57be76c_0","output_index":0,"content_index":0"#;
    let weather = r#""item_id":"fc_08dc8307b57be76c_1","output_index":1"#;
    let time = r#""item_id":"fc_08dc8307b57be76c_2","output_index":2"#;
    let items = [
        r#"{"type":"reasoning","id":"rs_08dc8307b57be76c_0","status":"completed","summary":[],"content":[{"type":"reasoning_text","text":"Two cities."}]}"#,
        r#"{"type":"function_call","id":"fc_08dc8307b57be76c_1","status":"completed","call_id":"call_08dc8307b57be76c_0_0","name":"weather","arguments":"{\"city\":\"Rome\"}"}"#,
        r#"{"type":"function_call","id":"fc_08dc8307b57be76c_2","status":"completed","call_id":"call_08dc8307b57be76c_0_1","name":"time","arguments":"{}"}"#,
    ];
    let expected = events(&[
        ("response.created", BEGUN),
        ("response.in_progress", BEGUN),
        (
            "response.output_item.added",
            r#""output_index":0,"item":{"type":"reasoning","id":"rs_08dc8307b57be76c_0","status":"in_progress","summary":[],"content":[]}"#,
        ),
        (
            "response.content_part.added",
            &format!(r#"{rs},"part":{{"type":"reasoning_text","text":""}}"#),
        ),
        (
            "response.reasoning_text.delta",
            &format!(r#"{rs},"delta":"Two ""#),
        ),
        (
            "response.reasoning_text.delta",
            &format!(r#"{rs},"delta":"cities.""#),
        ),
        (
            "response.reasoning_text.done",
            &format!(r#"{rs},"text":"Two cities.""#),
        ),
        (
            "response.content_part.done",
            &format!(r#"{rs},"part":{{"type":"reasoning_text","text":"Two cities."}}"#),
        ),
        (
            "response.output_item.done",
            &format!(r#""output_index":0,"item":{}"#, items[0]),
        ),
        (
            "response.output_item.added",
            r#""output_index":1,"item":{"type":"function_call","id":"fc_08dc8307b57be76c_1","status":"in_progress","call_id":"call_08dc8307b57be76c_0_0","name":"weather","arguments":""}"#,
        ),
        (
            "response.function_call_arguments.delta",
            &format!(r#"{weather},"delta":"{{\"city\":""#),
        ),
        (
            "response.function_call_arguments.delta",
            &format!(r#"{weather},"delta":"\"Rome\"}}""#),
        ),
        (
            "response.function_call_arguments.done",
            &format!(r#"{weather},"name":"weather","arguments":"{{\"city\":\"Rome\"}}""#),
        ),
        (
            "response.output_item.done",
            &format!(r#""output_index":1,"item":{}"#, items[1]),
        ),
        (
            "response.output_item.added",
            r#""output_index":2,"item":{"type":"function_call","id":"fc_08dc8307b57be76c_2","status":"in_progress","call_id":"call_08dc8307b57be76c_0_1","name":"time","arguments":""}"#,
        ),
        (
            "response.function_call_arguments.delta",
            &format!(r#"{time},"delta":"{{}}""#),
        ),
        (
            "response.function_call_arguments.done",
            &format!(r#"{time},"name":"time","arguments":"{{}}""#),
        ),
        (
            "response.output_item.done",
            &format!(r#""output_index":2,"item":{}"#, items[2]),
        ),
        (
            "response.completed",
            &format!(
                r#""response":{{…"status":"completed","completed_at":null,"error":null,"incomplete_details":null,"model":"tiny","output":[{}],"usage":{{"input_tokens":7,"input_tokens_details":{{"cache_write_tokens":0,"cached_tokens":4}},"output_tokens":3,"output_tokens_details":{{"reasoning_tokens":1}},"total_tokens":10}},…}}"#,
                items.join(",")
            ),
        ),
    ]);
    assert_eq!(transcript(vec![two_calls()]), expected);
}

#[test]
fn an_answer_that_was_cut_off_ends_with_an_incomplete_item_and_event() {
    let seen = stream_of("", vec![text("He"), finished(0, FinishReason::Length)]);
    let [.., item, last] = seen.as_slice() else {
        panic!("too few: {seen:?}");
    };
    assert_eq!(item["type"], "response.output_item.done");
    assert_eq!(item["item"]["status"], "incomplete");
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(
        last["response"]["incomplete_details"]["reason"],
        "max_output_tokens"
    );
}

#[test]
fn an_answer_that_says_nothing_still_begins_and_ends() {
    let seen = stream_of("", vec![finished(0, FinishReason::Stop)]);
    let names: Vec<_> = seen.iter().map(|event| event["type"].as_str()).collect();
    let expected = [
        "response.created",
        "response.in_progress",
        "response.completed",
    ];
    assert_eq!(names, expected.map(Some));
}

#[test]
fn a_request_of_many_lines_is_repeated_in_one() {
    let fields = "\"stream\":true,\"metadata\":{\r\n  \"a\":\n\"b\"\n},\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{\n}}]";
    let (_, answer) = accept(RESPONSES, response(fields));
    let batches = vec![vec![finished(0, FinishReason::Stop)]];
    let transcript = run(answer, batches, usage(3));
    // Three events, each of two lines and an empty one.
    assert_eq!(transcript.split(['\n', '\r']).count(), 10);
    for event in data(&transcript) {
        assert_eq!(event["response"]["metadata"]["a"], "b");
        assert_eq!(event["response"]["tools"][0]["name"], "f");
    }
}

#[test]
fn nothing_is_sent_before_the_first_piece() {
    let (_, mut answer) = accept(RESPONSES, response(r#""stream":true"#));
    use plugin_sdk::Reply;
    assert_eq!(answer.push(vec![]), b"");
    assert_eq!(answer.push(vec![chosen(0, vec![token("a", -1.0)])]), b"");
    assert_eq!(answer.push(vec![text("")]), b"");
    assert!(
        answer
            .push(vec![text("a")])
            .starts_with(b"event: response.created\n")
    );
}

#[test]
fn a_failure_before_the_first_byte_is_an_error_body() {
    let (_, answer) = accept(RESPONSES, response(r#""stream":true"#));
    let error = ApiError::invalid("messages", "Too long.").with_code("context_length_exceeded");
    let expected = r#"{"error":{"message":"Too long.","type":"invalid_request_error","param":"input","code":"context_length_exceeded"}}"#;
    assert_eq!(run_failing(answer, vec![vec![]], error), expected);
}

#[test]
fn a_failure_in_the_middle_of_a_stream_is_an_event_and_the_responses_failure() {
    let (_, answer) = accept(RESPONSES, response(r#""stream":true"#));
    let transcript = run_failing(
        answer,
        vec![vec![text("a")]],
        ApiError::server("The engine stopped."),
    );
    let begun = events(&[("response.created", BEGUN), ("response.in_progress", BEGUN)]);
    assert!(transcript.starts_with(&begun), "{transcript}");
    let expected = concat!(
        "event: error\n",
        r#"data: {"type":"error","sequence_number":5,"code":"server_error","message":"The engine stopped.","param":null}"#,
        "\n\nevent: response.failed\n",
        r#"data: {"type":"response.failed","sequence_number":6,"response":{"id":"resp_r1","object":"response","#,
        r#""created_at":1800000000,"status":"failed","completed_at":null,"#,
        r#""error":{"code":"server_error","message":"The engine stopped."},"incomplete_details":null,"model":"tiny","#,
        r#""output":[{"type":"message","id":"msg_08dc8307b57be76c_0","status":"incomplete","role":"assistant","#,
        r#""content":[{"type":"output_text","text":"a","annotations":[],"logprobs":[]}]}],"usage":null,"#,
    );
    assert!(
        transcript.ends_with(&format!("{expected}{ECHO}}}}}\n\n")),
        "{transcript}"
    );
}

#[test]
fn a_responses_failure_has_one_of_openais_codes() {
    for (status, code) in [
        (429, "rate_limit_exceeded"),
        (400, "invalid_prompt"),
        (503, "server_error"),
    ] {
        let (_, answer) = accept(RESPONSES, response(r#""stream":true"#));
        let error = ApiError::new(status, "some_error", "No.");
        let events = data(&run_failing(answer, vec![vec![text("a")]], error));
        assert_eq!(
            events.last().map(|last| &last["response"]["error"]["code"]),
            Some(&Value::from(code))
        );
    }
}
