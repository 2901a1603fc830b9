//! A router that does what the body says: `PHASE:WORD`, where the phase is `parse`, `headers`, `push`, `finish` or `fail`,
//! and the word is one of [`hostile::misbehave`] or, where the phase can return such a thing,
//!
//! * `huge-return`: [`hostile::HUGE_LEN`] bytes of body
//! * `bad-status` (parse): a response whose status is 99
//! * `bad-header` (parse, headers): a header whose name and value would split the response
//! * `many-headers` (parse, headers): 100,000 headers
//! * `respond` (parse): an ordinary response that repeats the body
//!
//! Any other body is a request for the first model: `push` returns the answers' text, `finish` a line `done`, `fail` the
//! error's message. `routes` obeys as well, by the config `{"order": "routes:WORD"}`: `trap`, `spin`, …, `none` (no
//! route) and `bad-route` (a relative path).

use std::collections::BTreeMap;

use hostile::{huge_text, misbehave, order_for};
use plugin_sdk::{
    ApiError, Delta, Event, Header, InferenceRequest, Input, Outcome, Reply, Request, Response,
    Route, Router, ServerInfo, Task, Usage, config, register,
};

struct HostileRouter;

struct HostileReply {
    order: String,
}

impl Router for HostileRouter {
    type Reply = HostileReply;

    fn routes() -> Vec<Route> {
        // A config of any other shape belongs to somebody else's test.
        let settings: BTreeMap<String, String> = config::read().unwrap_or_default();
        let word = settings
            .get("order")
            .map_or("", |order| order_for("routes", order));
        misbehave(word);
        let path = match word {
            "none" => return Vec::new(),
            "bad-route" => "hostile",
            _ => "/hostile",
        };
        vec![Route {
            method: "POST".to_owned(),
            path: path.to_owned(),
        }]
    }

    fn parse(request: Request, server: ServerInfo) -> Outcome<HostileReply> {
        let order = String::from_utf8_lossy(&request.body).into_owned();
        let word = order_for("parse", &order);
        misbehave(word);
        match word {
            "huge-return" => respond(200, Vec::new(), huge_text().into_bytes()),
            "bad-status" => respond(99, Vec::new(), Vec::new()),
            "bad-header" | "many-headers" => respond(200, headers(word), Vec::new()),
            "respond" => respond(200, Vec::new(), request.body),
            _ => {
                let model = server
                    .models
                    .first()
                    .map_or_else(String::new, |card| card.id.clone());
                let mut inference = InferenceRequest::new(model, vec![Input::Text(order.clone())]);
                inference.stream = true;
                Outcome::Run(Task::Generate(inference), HostileReply { order })
            }
        }
    }
}

impl HostileReply {
    /// Obeys an order for `phase`; otherwise what an honest router would return.
    fn bytes(&self, phase: &str, honest: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
        let word = order_for(phase, &self.order);
        misbehave(word);
        if word == "huge-return" {
            huge_text().into_bytes()
        } else {
            honest()
        }
    }
}

impl Reply for HostileReply {
    fn headers(&self) -> Vec<Header> {
        let word = order_for("headers", &self.order);
        misbehave(word);
        headers(word)
    }

    fn push(&mut self, events: Vec<Event>) -> Vec<u8> {
        self.bytes("push", || events.iter().flat_map(text).copied().collect())
    }

    fn finish(&mut self, _usage: Usage) -> Vec<u8> {
        self.bytes("finish", || b"done\n".to_vec())
    }

    fn fail(&mut self, error: ApiError) -> Vec<u8> {
        self.bytes("fail", || error.message.into_bytes())
    }
}

fn text(event: &Event) -> &[u8] {
    match event {
        Event::Delta(piece) => match &piece.delta {
            Delta::Content(text) | Delta::Reasoning(text) => text.as_bytes(),
            Delta::ToolCallStart(start) => start.name.as_bytes(),
            Delta::ToolCallArguments(arguments) => arguments.text.as_bytes(),
        },
        Event::Prompt(_) | Event::Embedding(_) | Event::Logprobs(_) | Event::Finished(_) => &[],
    }
}

fn headers(word: &str) -> Vec<Header> {
    match word {
        "bad-header" => vec![Header::new("x-a: b\r\nx-c", "d\r\n\r\n<html>")],
        "many-headers" => (0..100_000)
            .map(|number| Header::new(format!("x-{number}"), "1"))
            .collect(),
        _ => vec![Header::new("content-type", "text/plain")],
    }
}

fn respond(status: u16, headers: Vec<Header>, body: Vec<u8>) -> Outcome<HostileReply> {
    Outcome::Respond(Response {
        status,
        headers,
        body,
    })
}

register!(router: HostileRouter);
