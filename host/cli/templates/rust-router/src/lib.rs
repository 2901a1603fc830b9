//! A small protocol: `POST /v1/ask` with `{"question": …, "stream": …}`, answered with `{"answer": …}` or, where the client
//! reads as it is written, with plain text.

use plugin_sdk::{
    ApiError, Conversation, Delta, Event, Header, InferenceRequest, Input, Message, Outcome, Reply,
    Request, Response, Route, Router, ServerInfo, Task, Usage, register,
};
use serde::Deserialize;
use serde_json::json;

/// What a client sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    question: String,
    #[serde(default)]
    stream: bool,
}

/// The plugin.
struct Ask;

impl Router for Ask {
    type Reply = Answer;

    fn routes() -> Vec<Route> {
        vec![Route {
            method: "POST".to_owned(),
            path: "/v1/ask".to_owned(),
        }]
    }

    /// Reads a request. A refusal is a response, in this protocol's own words.
    fn parse(request: Request, server: ServerInfo) -> Outcome<Answer> {
        let question: Question = match serde_json::from_slice(&request.body) {
            Ok(question) => question,
            Err(error) => {
                let message = format!("send {{\"question\": \"…\"}}: {error}");
                return Outcome::Respond(Response::json(400, failure(&message)));
            }
        };
        let model = server
            .models
            .into_iter()
            .next()
            .map(|model| model.id)
            .unwrap_or_default();
        let conversation = Conversation::new(vec![Message::new("user", question.question)]);
        let mut asked = InferenceRequest::new(model, vec![Input::Chat(conversation)]);
        asked.stream = question.stream;
        Outcome::Run(
            Task::Generate(asked),
            Answer {
                streams: question.stream,
                text: String::new(),
            },
        )
    }
}

/// Turns what happens into the bytes that the client reads.
struct Answer {
    streams: bool,
    /// Of a client that does not stream: what it will read in the end.
    text: String,
}

impl Reply for Answer {
    fn headers(&self) -> Vec<Header> {
        let kind = if self.streams {
            "text/plain; charset=utf-8"
        } else {
            "application/json"
        };
        vec![Header::new("content-type", kind)]
    }

    fn push(&mut self, events: Vec<Event>) -> Vec<u8> {
        let mut written = String::new();
        for event in events {
            if let Event::Delta(grown) = event
                && let Delta::Content(text) = grown.delta
            {
                written.push_str(&text);
            }
        }
        if self.streams {
            return written.into_bytes();
        }
        self.text.push_str(&written);
        Vec::new()
    }

    fn finish(&mut self, usage: Usage) -> Vec<u8> {
        if self.streams {
            return Vec::new();
        }
        json!({"answer": self.text, "tokens": usage.completion_tokens})
            .to_string()
            .into_bytes()
    }

    fn fail(&mut self, error: ApiError) -> Vec<u8> {
        failure(&error.message)
    }
}

fn failure(message: &str) -> Vec<u8> {
    json!({"error": message}).to_string().into_bytes()
}

register!(router: Ask);

#[cfg(test)]
mod tests {
    use plugin_sdk::ChoiceDelta;

    use super::*;

    fn parse(body: &str) -> Outcome<Answer> {
        let request = Request {
            method: "POST".to_owned(),
            path: "/v1/ask".to_owned(),
            query: None,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        };
        Ask::parse(
            request,
            ServerInfo {
                request_id: "r-1".to_owned(),
                now: 0,
                models: Vec::new(),
            },
        )
    }

    fn grown(text: &str) -> Vec<Event> {
        let delta = Delta::Content(text.to_owned());
        vec![Event::Delta(ChoiceDelta {
            choice: 0,
            delta,
            usage_so_far: Usage::default(),
        })]
    }

    /// What the client reads of an answer in two pieces.
    fn read(body: &str) -> [Vec<u8>; 3] {
        let Outcome::Run(_, mut reply) = parse(body) else {
            panic!("{body} is a question")
        };
        [
            reply.push(grown("It ")),
            reply.push(grown("rains.")),
            reply.finish(Usage::default()),
        ]
    }

    #[test]
    fn an_answer_is_one_json_object() {
        let [first, second, rest] = read(r#"{"question": "Weather?"}"#);
        assert!(first.is_empty() && second.is_empty());
        assert_eq!(rest, br#"{"answer":"It rains.","tokens":0}"#);
    }

    #[test]
    fn a_client_that_streams_reads_each_piece_as_it_comes() {
        let pieces = read(r#"{"question": "Weather?", "stream": true}"#);
        assert_eq!(pieces, [&b"It "[..], b"rains.", b""]);
    }

    #[test]
    fn what_is_no_question_is_refused() {
        for body in ["", "{}", r#"{"question": 7}"#] {
            let Outcome::Respond(response) = parse(body) else {
                panic!("{body} is no question")
            };
            assert_eq!(response.status, 400);
        }
    }
}
