//! One streamed answer, read as clients read it.

use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

/// What came of a request.
pub(crate) enum Outcome {
    /// The whole answer.
    Answered { text: String, first_token: Duration },
    /// 429.
    Refused,
    /// Anything else, in words.
    Failed(String),
}

/// A question whose answer has `num_tokens` tokens and is the same every time.
pub(crate) fn question(number: usize, num_tokens: usize) -> Value {
    json!({
        "model": "demo", "temperature": 0, "max_tokens": num_tokens, "ignore_eos": true,
        "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": format!("question {number}")}],
    })
}

/// Asks and reads to the end.
pub(crate) async fn ask(client: &Client, url: &str, question: &Value) -> Outcome {
    match read(client, url, question).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

async fn read(client: &Client, url: &str, question: &Value) -> reqwest::Result<Outcome> {
    let asked = Instant::now();
    let request = client.post(url).header("content-type", "application/json");
    let mut response = request.body(question.to_string()).send().await?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::TOO_MANY_REQUESTS => {
            response.bytes().await?;
            return Ok(Outcome::Refused);
        }
        status => {
            return Ok(Outcome::Failed(format!(
                "{status}: {}",
                response.text().await?
            )));
        }
    }
    let mut body = Vec::new();
    let mut first_token = None;
    while let Some(piece) = response.chunk().await? {
        first_token.get_or_insert_with(|| asked.elapsed());
        body.extend_from_slice(&piece);
    }
    let body = String::from_utf8_lossy(&body);
    Ok(match text_of(&body, &question["max_tokens"]) {
        Ok(text) => Outcome::Answered {
            text,
            first_token: first_token.unwrap_or_default(),
        },
        Err(why) => Outcome::Failed(format!("{why}: {body}")),
    })
}

/// The answer's text, if the stream has an end and as many tokens as were asked for.
fn text_of(body: &str, num_tokens: &Value) -> Result<String, &'static str> {
    let mut events: Vec<&str> = body
        .split_terminator("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .collect();
    if events.pop() != Some("[DONE]") {
        return Err("the stream has no end");
    }
    let mut text = String::new();
    let mut counted = Value::Null;
    for event in events {
        let chunk: Value = serde_json::from_str(event).map_err(|_| "a chunk is no JSON")?;
        text += chunk["choices"][0]["delta"]["content"]
            .as_str()
            .unwrap_or_default();
        counted = chunk["usage"]["completion_tokens"].clone();
    }
    match counted == *num_tokens {
        true => Ok(text),
        false => Err("another number of tokens than was asked for"),
    }
}
