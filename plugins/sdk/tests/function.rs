//! What a client sees of a function that answers, fails, or does neither.

use std::io::{Read, Write};

use plugin_sdk::function::{Function, Request, Responder};
use plugin_sdk::mock::{self, Ending};
use plugin_sdk::{ApiError, Header};
use serde::Deserialize;

/// Does what its path says.
struct Obedient;

#[derive(Deserialize)]
struct Order {
    count: u32,
}

impl Function for Obedient {
    fn handle(mut request: Request, response: Responder) -> Result<(), ApiError> {
        match request.path.as_str() {
            "/refuse" => {
                let wait = Some(1001);
                let busy = ApiError::new(429, "rate_limit_error", "try later");
                Err(ApiError {
                    retry_after_ms: wait,
                    ..busy.with_param("p").with_code("c")
                })
            }
            "/status-99" => Err(ApiError::new(99, "server_error", "no status of HTTP's")),
            "/nothing" => Ok(()),
            "/split" => response.send(200, vec![Header::new("x-a", "b\r\nx-c: d")], ""),
            "/split-and-answer" => match response.start(200, vec![Header::new("a b", "")]) {
                Ok(_) => Ok(()),
                Err(error) => Err(ApiError {
                    status: 502,
                    ..error
                }),
            },
            "/stream" => {
                let mut body = response.start(200, Vec::new())?;
                write!(body, "{}-{}", 1, 2)?;
                body.flush()?;
                write!(body, "{}", 3)?;
                Ok(())
            }
            "/break-off" => {
                let mut body = response.start(200, Vec::new())?;
                body.write_all(b"begun")?;
                body.flush()?;
                Err(ApiError::server("too late for a status"))
            }
            "/finish-early" => {
                let mut body = response.start(200, Vec::new())?;
                body.write_all(b"done")?;
                body.finish()?;
                Err(ApiError::server("nobody hears of it"))
            }
            "/no-content" => response.send(204, Vec::new(), ""),
            "/json" => {
                let Order { count } = request.read_json(20)?;
                response.send_json(200, &count)
            }
            "/long" => {
                let mut text = String::new();
                request.body().read_to_string(&mut text)?;
                response.send(200, Vec::new(), text)
            }
            other => response.send(200, Vec::new(), format!("{other} {:?}", request.query)),
        }
    }
}

fn get(target: &str) -> mock::Answer {
    mock::call::<Obedient>(mock::Request::get(target))
}

fn post(target: &str, body: &str) -> mock::Answer {
    mock::call::<Obedient>(mock::Request::post(target, body))
}

#[test]
fn path_and_query_are_two_things() {
    assert_eq!(get("/a%20b?c=d?e").text(), r#"/a%20b Some("c=d?e")"#);
    assert_eq!(get("/a").text(), "/a None");
    assert_eq!(get("/a?").text(), r#"/a Some("")"#);
}

#[test]
fn an_error_before_the_head_becomes_an_error_response() {
    let answer = get("/refuse");
    assert_eq!((answer.status, answer.ending), (429, Ending::Finished));
    assert_eq!(
        answer.text(),
        r#"{"error":{"message":"try later","type":"rate_limit_error","param":"p","code":"c"}}"#
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("retry-after"), Some("2"));
}

#[test]
fn an_error_whose_status_is_none_of_an_error_becomes_500() {
    assert_eq!(get("/status-99").status, 500);
}

#[test]
fn a_function_that_answers_nothing_is_answered_for() {
    let answer = get("/nothing");
    assert_eq!(answer.status, 500);
    assert!(
        answer.text().contains("without an answer"),
        "{}",
        answer.text()
    );
}

#[test]
fn a_header_that_http_forbids_is_an_error_while_another_answer_can_still_be_given() {
    let answer = get("/split");
    assert_eq!(answer.status, 500);
    assert!(
        answer.text().contains("the header `x-a`"),
        "{}",
        answer.text()
    );
    assert_eq!(get("/split-and-answer").status, 502);
}

#[test]
fn what_is_written_goes_out_at_a_flush_and_at_the_end() {
    let answer = get("/stream");
    assert_eq!(answer.pieces, [b"1-2".to_vec(), b"3".to_vec()]);
    assert_eq!(
        (answer.ending, answer.header("content-length")),
        (Ending::Finished, None)
    );
}

#[test]
fn an_error_after_the_head_breaks_the_body_off() {
    let answer = get("/break-off");
    assert_eq!((answer.status, answer.text().as_str()), (200, "begun"));
    assert_eq!(answer.ending, Ending::BrokenOff);
}

#[test]
fn a_body_that_was_finished_stays_so() {
    let answer = get("/finish-early");
    assert_eq!(
        (answer.text().as_str(), answer.ending),
        ("done", Ending::Finished)
    );
}

#[test]
fn a_response_without_content_announces_no_length() {
    let answer = get("/no-content");
    assert_eq!((answer.status, answer.headers), (204, Vec::new()));
}

#[test]
fn a_body_that_is_not_the_json_that_is_asked_for_is_refused_by_its_field() {
    assert_eq!(post("/json", r#"{"count":3}"#).text(), "3");
    let wrong = post("/json", r#"{"count":-3}"#);
    assert_eq!(wrong.status, 400);
    assert!(
        wrong.text().contains(r#""param":"count""#),
        "{}",
        wrong.text()
    );
    for body in ["", "{}", r#"{"count":3}}"#] {
        let answer = post("/json", body);
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.text().contains("not the JSON"), "{}", answer.text());
    }
}

#[test]
fn a_body_that_is_too_long_is_refused() {
    assert_eq!(post("/json", r#"{"count":30000000000}"#).status, 413);
}

#[test]
fn a_body_longer_than_any_buffer_arrives_whole() {
    let long = "0123456789".repeat(5000);
    let answer =
        mock::call::<Obedient>(mock::Request::new("POST", "/long").with_body(["x", &long, "y"]));
    assert_eq!(answer.text(), format!("x{long}y"));
}
