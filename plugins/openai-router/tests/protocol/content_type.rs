//! What a body says it is.

use plugin_sdk::{Header, Outcome};

use crate::support::*;

fn posted(path: &str, body: String, content_type: &[u8]) -> Outcome<openai_router::Answer> {
    send_as(
        vec![Header::new("content-type", content_type)],
        "POST",
        path,
        body,
    )
}

fn bodies() -> [(&'static str, String); 3] {
    [
        (CHAT, chat("")),
        (COMPLETIONS, completion("")),
        (RESPONSES, response("")),
    ]
}

#[test]
fn bodies_of_json_are_read_whatever_their_type_adds() {
    for content_type in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/json;charset=latin1",
        " application/json ",
        "application/vnd.api+json",
        "application/problem+JSON; x=y",
    ] {
        for (path, body) in bodies() {
            let outcome = posted(path, body, content_type.as_bytes());
            assert!(matches!(outcome, Outcome::Run(..)), "{content_type}");
        }
    }
}

#[test]
fn bodies_of_another_type_are_refused_with_415_and_told_what_to_send() {
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonl",
        "text/json",
        "json",
        "",
    ] {
        for (path, body) in bodies() {
            let Outcome::Respond(response) = posted(path, body, content_type.as_bytes()) else {
                panic!("accepted: {content_type}");
            };
            let expected = format!(
                concat!(
                    r#"{{"error":{{"message":"The body's `content-type` is `{}`; send JSON, with the header "#,
                    r#"`content-type: application/json`.","type":"invalid_request_error","param":null,"#,
                    r#""code":"unsupported_content_type"}}}}"#
                ),
                content_type
            );
            let body = String::from_utf8(response.body).unwrap();
            assert_eq!((response.status, body), (415, expected));
        }
    }
}

#[test]
fn types_that_are_no_text_or_very_long_are_refused_in_few_words() {
    for content_type in [b"\xff\xfe".to_vec(), vec![b'a'; 10_000]] {
        let Outcome::Respond(response) = posted(CHAT, chat(""), &content_type) else {
            panic!("accepted");
        };
        assert_eq!(response.status, 415);
        assert!(response.body.len() < 400, "{}", response.body.len());
    }
}

#[test]
fn reading_without_a_body_needs_no_type() {
    let headers = vec![Header::new("content-type", "text/plain")];
    let Outcome::Respond(response) = send_as(headers, "GET", "/v1/models", "") else {
        panic!("not answered");
    };
    assert_eq!(response.status, 200);
}
