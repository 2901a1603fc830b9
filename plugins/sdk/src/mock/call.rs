use std::cell::RefCell;
use std::rc::Rc;

use super::function::{self, Seen};
use crate::Header;
use crate::function::{Function, run};

/// A request to a function under test.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<Header>,
    pieces: Vec<Vec<u8>>,
    patience: usize,
}

impl Request {
    /// A request without headers and body. `target` is path and query.
    pub fn new(method: impl Into<String>, target: impl Into<String>) -> Request {
        Request {
            method: method.into(),
            target: target.into(),
            headers: Vec::new(),
            pieces: Vec::new(),
            patience: usize::MAX,
        }
    }

    /// A request with method `GET`.
    pub fn get(target: impl Into<String>) -> Request {
        Request::new("GET", target)
    }

    /// A request with method `POST` and a body.
    pub fn post(target: impl Into<String>, body: impl Into<Vec<u8>>) -> Request {
        Request::new("POST", target).with_body([body.into()])
    }

    /// The same request with one more header; `name` in lower case.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Request {
        self.headers.push(Header::new(name, value));
        self
    }

    /// The same request with a body that arrives in these pieces.
    pub fn with_body(self, pieces: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Request {
        let pieces = pieces.into_iter().map(Into::into).collect();
        Request { pieces, ..self }
    }

    /// The same request from a client that goes away once more than `len` bytes of the body were sent to it.
    pub fn leaving_after(self, len: usize) -> Request {
        Request {
            patience: len,
            ..self
        }
    }
}

/// What a client sees of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<Header>,
    /// The body, cut where the function flushed.
    pub pieces: Vec<Vec<u8>>,
    /// How the body ended.
    pub ending: Ending,
}

/// How the body of an answer ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// In good order.
    Finished,
    /// The function failed after it had sent the head: the client sees that the body is not whole.
    BrokenOff,
    /// The client went away before.
    ClientLeft,
}

impl Answer {
    /// The whole body.
    pub fn body(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// The whole body as text; panics if it is none.
    pub fn text(&self) -> String {
        String::from_utf8(self.body()).expect("the body of the answer is text")
    }

    /// The first header of this name, which is given in lower case; panics if its value is no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|header| header.name == name)?;
        Some(std::str::from_utf8(&header.value).expect("the value of the header is text"))
    }
}

/// Has a function answer a request.
pub fn call<F: Function>(request: Request) -> Answer {
    let Request {
        method,
        target,
        headers,
        pieces,
        patience,
    } = request;
    let seen = Rc::new(RefCell::new(Seen::default()));
    let body = function::Body::new(pieces);
    let request = crate::function::Request::new(method, &target, headers, body);
    run::<F>(
        request,
        function::Answer {
            seen: seen.clone(),
            patience,
        },
    );
    let Seen {
        head,
        pieces,
        finished,
        gone,
    } = seen.take();
    let head = head.expect("a function that sends no head is answered for");
    let ending = match (finished, gone) {
        (_, true) => Ending::ClientLeft,
        (true, false) => Ending::Finished,
        (false, false) => Ending::BrokenOff,
    };
    Answer {
        status: head.status,
        headers: head.headers,
        pieces,
        ending,
    }
}
