//! The role of a router: a client's protocol, in and out.

use std::{cell::RefCell, marker::PhantomData};

use crate::bindings::router::exports::lm::plugin::routing as wit;
use crate::{ApiError, Event, Header, Request, Response, Route, ServerInfo, Task, Usage};

/// Speaks a client's protocol. The host makes a fresh instance for every request, so nothing outlives one.
pub trait Router {
    /// Encodes the answers to this router's requests.
    type Reply: Reply;

    /// The paths that this router answers. Called once, when the plugin is loaded.
    fn routes() -> Vec<Route>;

    /// Reads a request for one of those paths. A refusal is a response, in the router's own protocol.
    fn parse(request: Request, server: ServerInfo) -> Outcome<Self::Reply>;
}

/// Turns the events of one request into the bytes that its client reads.
///
/// The host calls `push` any number of times, then `finish` or `fail` once, and concatenates what they return.
pub trait Reply: 'static {
    /// The headers of a successful answer, `content-type` among them. Called once, before `push`.
    fn headers(&self) -> Vec<Header>;

    /// Encodes events in the order in which they happened. May return nothing, and does so for a client that does not
    /// stream.
    fn push(&mut self, events: Vec<Event>) -> Vec<u8>;

    /// Everything that was asked for is done: the rest of the stream, or the whole body.
    fn finish(&mut self, usage: Usage) -> Vec<u8>;

    /// The request failed. If nothing was returned so far, the body of a JSON error response; otherwise what tells a
    /// client in the middle of a stream.
    fn fail(&mut self, error: ApiError) -> Vec<u8>;
}

/// What a request comes to.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one per request, and a box would be one more thing for a router's author to write"
)]
pub enum Outcome<R> {
    /// Answered or refused at once.
    Respond(Response),
    /// To be done by the host, and who encodes its answer.
    Run(Task, R),
}

/// Carries a [`Router`] across the component's border. Named by `register!` alone.
#[doc(hidden)]
pub struct Exported<P>(PhantomData<P>);

/// Calls come with a shared reference, but one at a time: the component model forbids re-entering an instance.
#[doc(hidden)]
pub struct ExportedReply<R>(RefCell<R>);

impl<P: Router> wit::Guest for Exported<P> {
    type Reply = ExportedReply<P::Reply>;

    fn routes() -> Vec<Route> {
        P::routes()
    }

    fn parse(request: Request, server: ServerInfo) -> wit::Outcome {
        match P::parse(request, server) {
            Outcome::Respond(response) => wit::Outcome::Respond(response),
            Outcome::Run(task, reply) => {
                let reply = wit::Reply::new(ExportedReply(RefCell::new(reply)));
                wit::Outcome::Run(wit::Job { task, reply })
            }
        }
    }
}

impl<R: Reply> wit::GuestReply for ExportedReply<R> {
    fn headers(&self) -> Vec<Header> {
        self.0.borrow().headers()
    }

    fn push(&self, events: Vec<Event>) -> Vec<u8> {
        self.0.borrow_mut().push(events)
    }

    fn finish(&self, usage: Usage) -> Vec<u8> {
        self.0.borrow_mut().finish(usage)
    }

    fn fail(&self, error: ApiError) -> Vec<u8> {
        self.0.borrow_mut().fail(error)
    }
}
