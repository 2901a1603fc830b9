//! The function as its clients see it.

use plugin_sdk::mock::{self, Answer, Ending, Request};
use plugin_sdk::{ApiError, Input, key_value};
use retrieval::Retrieval;
use serde_json::{Value, json};

const ROUTE: &str = "/fn/retrieval";

fn call(method: &str, tail: &str, body: impl Into<Vec<u8>>) -> Answer {
    let request = Request::new(method, format!("{ROUTE}/{tail}")).with_body([body.into()]);
    mock::call::<Retrieval>(request)
}

fn add(id: &str, text: &str) -> Answer {
    call(
        "POST",
        "documents",
        json!({"id": id, "text": text}).to_string(),
    )
}

fn ask(question: &str, stream: bool) -> Answer {
    call(
        "POST",
        "ask",
        json!({"question": question, "stream": stream}).to_string(),
    )
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body()).unwrap()
}

/// Status, field at fault and message of a refusal.
fn refusal(answer: &Answer) -> (u16, Value, String) {
    let error = &json_of(answer)["error"];
    (
        answer.status,
        error["param"].clone(),
        error["message"].as_str().unwrap().to_owned(),
    )
}

/// Two documents about different things.
fn add_manuals() {
    mock::reset();
    add(
        "boiler",
        "The boiler runs at 60 degrees.\n\nIts valve opens to the left.",
    );
    add("door", "The door is locked at nine.");
}

#[test]
fn documents_are_kept_listed_and_removed() {
    mock::reset();
    let added = add("boiler", "It runs at 60 degrees.");
    assert_eq!(
        (added.status, json_of(&added)),
        (201, json!({"id": "boiler", "passages": 1}))
    );
    add("a.txt", &"A sentence. ".repeat(200));
    let listed = json_of(&call("GET", "documents", ""));
    let expected = json!([{"id": "a.txt", "passages": 3}, {"id": "boiler", "passages": 1}]);
    assert_eq!(listed["documents"], expected);
    assert_eq!(call("DELETE", "documents/a.txt", "").status, 204);
    assert_eq!(call("DELETE", "documents/a.txt", "").status, 404);
    assert_eq!(
        key_value::all_keys("").unwrap(),
        ["index/boiler", "text/boiler"]
    );
}

#[test]
fn a_document_replaces_the_one_with_its_id() {
    mock::reset();
    assert_eq!(add("a", "old words").status, 201);
    assert_eq!(add("a", "new words").status, 200);
    mock::set_answer_text(["ok"]);
    let sources = &json_of(&ask("words", false))["sources"];
    assert_eq!(sources.as_array().unwrap().len(), 1);
    assert_eq!(sources[0]["text"], "new words");
}

#[test]
fn a_question_is_answered_from_the_best_passages_which_are_named() {
    add_manuals();
    mock::set_answer_text(["To the ", "left [1]."]);
    let answer = ask("Which way does the valve open?", false);
    let body = json_of(&answer);
    assert_eq!(body["answer"], "To the left [1].");
    assert_eq!(body["sources"][0]["document"], "boiler");
    assert_eq!(body["sources"][0]["number"], 1);
    assert_eq!(body["usage"]["completion_tokens"], 2);
}

#[test]
fn the_model_is_shown_the_passages_with_their_numbers_and_the_question() {
    add_manuals();
    mock::set_config(r#"{"passages": 1, "max_tokens": 9, "model": "m"}"#);
    mock::set_answer_text(["ok"]);
    ask("When is the door locked?", true);
    let requests = mock::take_generations();
    let [request] = requests.as_slice() else {
        panic!("one generation")
    };
    assert_eq!((request.model.as_str(), request.stream), ("m", true));
    assert_eq!(request.sampling.max_tokens, Some(9));
    let Input::Chat(conversation) = &request.inputs[0] else {
        panic!("a conversation")
    };
    assert_eq!(
        conversation.template_variables.as_deref(),
        Some(r#"{"enable_thinking":false}"#)
    );
    assert_eq!(conversation.messages[0].role, "system");
    assert_eq!(
        conversation.messages[1].content.as_deref(),
        Some("[1] (door)\nThe door is locked at nine.\n\nQuestion: When is the door locked?")
    );
}

#[test]
fn a_stream_names_its_sources_then_sends_each_piece_as_it_comes() {
    mock::reset();
    add("boiler", "The boiler runs at 60 degrees.");
    mock::set_answer_text(["Six", "ty."]);
    let answer = ask("How warm is the boiler?", true);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let events: Vec<String> = answer
        .pieces
        .iter()
        .map(|piece| String::from_utf8(piece.clone()).unwrap())
        .collect();
    assert!(
        events[0].starts_with(r#"data: {"sources":[{"#),
        "{}",
        events[0]
    );
    assert!(
        events[0].contains(r#""document":"boiler""#),
        "{}",
        events[0]
    );
    assert_eq!(
        events[1..],
        [
            "data: {\"text\":\"Six\"}\n\n",
            "data: {\"text\":\"ty.\"}\n\n",
            "data: {\"usage\":{\"completion_tokens\":2,\"prompt_tokens\":0}}\n\n",
            "data: [DONE]\n\n",
        ]
    );
}

#[test]
fn streaming_is_what_a_client_gets_that_does_not_say() {
    add_manuals();
    mock::set_answer_text(["ok"]);
    let answer = call("POST", "ask", r#"{"question": "boiler"}"#);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
}

#[test]
fn a_question_that_nothing_matches_is_answered_without_the_model() {
    add_manuals();
    let whole = json_of(&ask("Pumps?", false));
    assert_eq!(whole["sources"], json!([]));
    assert!(whole["answer"].as_str().unwrap().starts_with("Nothing"));
    assert!(ask("Pumps?", true).text().ends_with("data: [DONE]\n\n"));
    assert!(mock::take_generations().is_empty());
}

#[test]
fn a_refusal_of_the_model_is_the_client_s_before_anything_was_streamed() {
    add_manuals();
    let full = ApiError::new(429, "rate_limit_error", "the queue is full");
    mock::refuse_generations(ApiError {
        retry_after_ms: Some(2000),
        ..full
    });
    for stream in [false, true] {
        let answer = ask("boiler", stream);
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (429, Some("2"))
        );
    }
}

#[test]
fn a_failure_in_mid_stream_is_an_event_before_the_end() {
    add_manuals();
    mock::set_answer([Err(ApiError::server("the engine stopped"))]);
    let answer = ask("boiler", true);
    let text = answer.text();
    assert!(
        text.contains(r#"data: {"error":{"message":"the engine stopped""#),
        "{text}"
    );
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(answer.ending, Ending::Finished);
    assert_eq!(mock::take_log().len(), 1);
}

#[test]
fn a_client_that_leaves_ends_the_answer() {
    add_manuals();
    mock::set_answer_text(["word "; 1000]);
    let body = r#"{"question": "boiler"}"#;
    let request = Request::post(format!("{ROUTE}/ask"), body).leaving_after(1000);
    assert_eq!(mock::call::<Retrieval>(request).ending, Ending::ClientLeft);
}

#[test]
fn bad_input_is_refused_by_field_with_a_way_out() {
    mock::reset();
    for (tail, body, param, way_out) in [
        (
            "documents",
            json!({"id": "../x", "text": "a"}),
            json!("id"),
            "letters, digits",
        ),
        (
            "documents",
            json!({"id": ".x", "text": "a"}),
            json!("id"),
            "not begin with a point",
        ),
        (
            "documents",
            json!({"id": "x".repeat(129), "text": "a"}),
            json!("id"),
            "1 to 128",
        ),
        (
            "documents",
            json!({"id": "a", "text": " ?! "}),
            json!("text"),
            "no words",
        ),
        (
            "documents",
            json!({"id": "a", "text": "a".repeat((256 << 10) + 1)}),
            json!("text"),
            "several documents",
        ),
        (
            "documents",
            json!({"id": "a"}),
            Value::Null,
            "missing field `text`",
        ),
        (
            "documents",
            json!({"id": 7, "text": "a"}),
            json!("id"),
            "expected a string",
        ),
        (
            "ask",
            json!({"question": "?"}),
            json!("question"),
            "ask something",
        ),
        (
            "ask",
            json!({"question": "a", "steam": true}),
            json!("steam"),
            "expected `question` or `stream`",
        ),
    ] {
        let (status, field, message) = refusal(&call("POST", tail, body.to_string()));
        assert_eq!((status, &field), (400, &param), "{message}");
        assert!(message.contains(way_out), "{message}");
    }
    assert_eq!(call("POST", "ask", "{").status, 400);
    assert!(key_value::all_keys("").unwrap().is_empty());
}

#[test]
fn paths_and_methods_that_do_not_go_together_are_told_what_does() {
    mock::reset();
    assert_eq!(call("GET", "nowhere", "").status, 404);
    for (method, tail, allowed) in [
        ("PUT", "documents", "GET and POST"),
        ("GET", "documents/a", "DELETE"),
        ("GET", "ask", "POST"),
    ] {
        let (status, _, message) = refusal(&call(method, tail, ""));
        assert_eq!(status, 405);
        assert!(message.contains(allowed), "{message}");
    }
}

#[test]
fn a_document_may_be_called_ask() {
    mock::reset();
    add("ask", "words");
    assert_eq!(call("DELETE", "documents/ask", "").status, 204);
}

#[test]
fn a_full_store_is_told_as_such_and_nothing_half_stored_is_found() {
    mock::reset();
    mock::set_quota(60);
    let answer = add("a", &"word ".repeat(10));
    assert_eq!(answer.status, 507);
    assert_eq!(
        json_of(&call("GET", "documents", ""))["documents"],
        json!([])
    );
}

#[test]
fn settings_that_make_no_sense_are_the_operator_s_fault() {
    add_manuals();
    mock::set_config(r#"{"passages": 0}"#);
    let (status, _, message) = refusal(&ask("boiler", false));
    assert_eq!(status, 500);
    assert!(message.contains("`passages`"), "{message}");
}

#[test]
fn the_schema_of_the_settings_knows_every_setting() {
    let manifest = include_str!("../plugin.toml");
    for key in [
        "model",
        "passages",
        "max_tokens",
        "temperature",
        "instructions",
        "thinking",
    ] {
        assert!(
            manifest.contains(&format!("[config.schema.properties.{key}]")),
            "{key}"
        );
    }
}
