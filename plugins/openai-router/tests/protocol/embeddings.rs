//! Vectors of texts.

use plugin_sdk::{Embedding, EmbeddingRequest, Event, Input, Outcome, Pooling, Reply, Task};
use serde_json::{Value, json};

use crate::support::*;

const EMBEDDINGS: &str = "/v1/embeddings";

fn embed(fields: &str) -> (EmbeddingRequest, openai_router::Answer) {
    let body = format!(r#"{{"model":"tiny",{fields}}}"#);
    match send("POST", EMBEDDINGS, body) {
        Outcome::Run(Task::Embed(request), answer) => (request, answer),
        Outcome::Run(task, _) => panic!("another task: {task:?}"),
        Outcome::Respond(response) => {
            panic!("refused: {}", String::from_utf8_lossy(&response.body))
        }
    }
}

fn vector(input: u32, vector: &[f32]) -> Event {
    Event::Embedding(Embedding {
        input,
        vector: vector.to_vec(),
    })
}

fn answer(fields: &str, vectors: &[&[f32]]) -> Value {
    let (_, mut answer) = embed(fields);
    let events = (0..)
        .zip(vectors)
        .map(|(input, numbers)| vector(input, numbers));
    // One by one, as the host may hand them over.
    let mut body: Vec<u8> = events.flat_map(|event| answer.push(vec![event])).collect();
    body.extend(answer.finish(usage(0)));
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn texts_and_token_ids_are_embedded_in_their_order() {
    let (request, _) = embed(r#""input":["a","b"]"#);
    let text = |text: &str| Input::Text(text.to_owned());
    assert_eq!(request.inputs, [text("a"), text("b")]);
    assert_eq!(request.pooling, None);
    assert_eq!(embed(r#""input":"a""#).0.inputs, [text("a")]);
    assert_eq!(
        embed(r#""input":[1,2]"#).0.inputs,
        [Input::Tokens(vec![1, 2])]
    );
    assert_eq!(
        embed(r#""input":[[1],[2]]"#).0.inputs,
        [Input::Tokens(vec![1]), Input::Tokens(vec![2])]
    );
    assert_eq!(
        answer(
            r#""input":["a","b"],"user":"u""#,
            &[&[0.0, 1.0, 0.0, 0.0], &[0.5, 0.5, 0.5, 0.5]]
        ),
        json!({
            "object": "list",
            "data": [
                {"object": "embedding", "index": 0, "embedding": [0.0, 1.0, 0.0, 0.0]},
                {"object": "embedding", "index": 1, "embedding": [0.5, 0.5, 0.5, 0.5]},
            ],
            "model": "tiny",
            "usage": {"prompt_tokens": 7, "total_tokens": 7},
        })
    );
}

#[test]
fn vectors_come_as_base64_of_little_endian_floats_where_the_client_asks() {
    let answer = answer(
        r#""input":"a","encoding_format":"base64""#,
        &[&[1.0, -2.0, 0.0, 0.0]],
    );
    assert_eq!(answer["data"][0]["embedding"], "AACAPwAAAMAAAAAAAAAAAA==");
}

#[test]
fn fewer_dimensions_are_the_first_ones_brought_back_to_length_1() {
    let numbers: &[f32] = &[0.6, 0.0, 0.8, 0.0];
    let first = |n| {
        let fields = format!(r#""input":"a","dimensions":{n}"#);
        answer(&fields, &[numbers])["data"][0]["embedding"].clone()
    };
    assert_eq!(first(2), json!([1.0, 0.0]));
    assert_eq!(first(4), json!([0.6, 0.0, 0.8, 0.0]));
}

#[test]
fn pooling_and_scheduling_are_passed_on() {
    let (request, _) = embed(r#""input":"a","pooling":"mean","priority":-3,"cache_salt":"s""#);
    assert_eq!(request.pooling, Some(Pooling::Mean));
    assert_eq!(
        (request.priority, request.cache_salt.as_deref()),
        (-3, Some("s"))
    );
}

#[test]
fn what_cannot_be_embedded_is_refused_with_the_field() {
    let many = vec![r#""""#; 2049].join(",");
    let cases = [
        (r#""user":"u""#.to_owned(), "input"),
        (r#""input":[]"#.to_owned(), "input"),
        (r#""input":5"#.to_owned(), "input"),
        (format!(r#""input":[{many}]"#), "input"),
        (r#""input":"a","dimensions":5"#.to_owned(), "dimensions"),
        (r#""input":"a","dimensions":0"#.to_owned(), "dimensions"),
        (
            r#""input":"a","encoding_format":"int8""#.to_owned(),
            "encoding_format",
        ),
        (r#""input":"a","pooling":"max""#.to_owned(), "pooling"),
        (r#""input":"a","normalize":false"#.to_owned(), "normalize"),
    ];
    for (fields, param) in cases {
        let response = respond(
            "POST",
            EMBEDDINGS,
            format!(r#"{{"model":"tiny",{fields}}}"#),
        );
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(response.status, 400, "{param}");
        assert_eq!(body["error"]["param"], param);
    }
}
