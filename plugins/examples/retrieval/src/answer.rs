//! What the client reads: sources and text, at once or as server-sent events.

use std::io::{self, Write};

use plugin_sdk::function::{BodyWriter, Responder};
use plugin_sdk::inference::Generation;
use plugin_sdk::{ApiError, Header, log};
use serde::Serialize;
use serde_json::json;

use crate::ranking::Hit;

/// What is answered where no passage has a word of the question.
const NOTHING_FOUND: &str = "Nothing in the stored documents matches the question.";

/// A passage that the answer may rest on.
#[derive(Serialize)]
pub(crate) struct Source {
    /// What the model calls it, from 1.
    number: usize,
    document: String,
    passage: usize,
    score: f32,
    text: String,
}

#[derive(Default, Serialize)]
struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
}

impl Source {
    pub(crate) fn new(number: usize, hit: Hit, text: String) -> Source {
        let Hit {
            document,
            passage,
            score,
        } = hit;
        Source {
            number,
            document,
            passage,
            score,
            text,
        }
    }

    /// As the model is shown it.
    pub(crate) fn to_prompt(&self) -> String {
        format!("[{}] ({})\n{}\n\n", self.number, self.document, self.text)
    }
}

/// One JSON object.
pub(crate) fn whole(
    response: Responder,
    sources: &[Source],
    generation: Option<Generation>,
) -> Result<(), ApiError> {
    let (answer, usage) = match generation {
        None => (NOTHING_FOUND.to_owned(), Usage::default()),
        Some(mut generation) => {
            let answer = generation.texts().collect::<Result<String, ApiError>>()?;
            (answer, usage(&generation))
        }
    };
    response.send_json(
        200,
        &json!({ "answer": answer, "sources": sources, "usage": usage }),
    )
}

/// Events as they happen: `{"sources":[…]}`, `{"text":"…"}` as often as there is more, `{"usage":{…}}`, and `[DONE]`. A failure
/// on the way is `{"error":{…}}` before `[DONE]`.
pub(crate) fn stream(
    response: Responder,
    sources: &[Source],
    generation: Option<Generation>,
) -> Result<(), ApiError> {
    let headers = vec![
        Header::new("content-type", "text/event-stream"),
        Header::new("cache-control", "no-store"),
    ];
    let mut body = response.start(200, headers)?;
    send(&mut body, &json!({ "sources": sources }))?;
    let result = match generation {
        None => {
            send(&mut body, &json!({ "text": NOTHING_FOUND }))?;
            Ok(Usage::default())
        }
        Some(generation) => send_texts(&mut body, generation)?,
    };
    match result {
        Ok(usage) => send(&mut body, &json!({ "usage": usage }))?,
        Err(error) => {
            log::warn(format!("an answer broke off: {}", error.message));
            write!(body, "data: {}\n\n", error.to_json())?;
        }
    }
    body.write_all(b"data: [DONE]\n\n")?;
    Ok(body.flush()?)
}

/// The outer error is that the client is gone, which ends the generation too; the inner one is the generation's own.
fn send_texts(
    body: &mut BodyWriter,
    mut generation: Generation,
) -> io::Result<Result<Usage, ApiError>> {
    for text in generation.texts() {
        match text {
            Ok(text) => send(body, &json!({ "text": text }))?,
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(usage(&generation)))
}

fn send(body: &mut BodyWriter, event: &serde_json::Value) -> io::Result<()> {
    write!(body, "data: {event}\n\n")?;
    body.flush()
}

fn usage(generation: &Generation) -> Usage {
    let usage = generation.usage();
    Usage {
        prompt_tokens: usage.prompt_tokens,
        completion_tokens: usage.completion_tokens,
    }
}
