//! One request and its response, from the call of a function to its end.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use super::border::{Answer, Head, Sink};
use super::{Function, Request, Responder, failure};
use crate::{ApiError, Header};

/// Bytes that are kept back until there are enough of them or the function flushes: `write!` writes in tiny pieces.
const BUFFER_LEN: usize = 8 << 10;

/// How far the response has come. Shared by the function's responder or body writer and by [`run`], which has to end it
/// whatever the function did with them.
#[derive(Clone)]
pub(super) struct Exchange(Rc<RefCell<State>>);

enum State {
    /// No head was sent.
    Open(Answer),
    /// The head was sent, and the body is being written.
    Body { sink: Sink, buffer: Vec<u8> },
    /// Nothing more can be sent.
    Ended,
}

/// Has the function answer the request, and ends what it left open.
pub(crate) fn run<F: Function>(request: Request, answer: Answer) {
    let exchange = Exchange(Rc::new(RefCell::new(State::Open(answer))));
    let result = F::handle(request, Responder::new(exchange.clone()));
    let open = matches!(*exchange.0.borrow(), State::Open(_));
    // What fails from here on is that the client is gone, and there is nobody else to tell.
    let _ = match result {
        Ok(()) if open => exchange.send_error(&failure::no_answer()),
        Ok(()) => exchange.finish(),
        Err(error) if open => exchange.send_error(&error),
        Err(_) => {
            exchange.0.replace(State::Ended);
            Ok(())
        }
    };
}

impl Exchange {
    /// Sends the head. Nothing is sent, and another head can be, where it is one that HTTP forbids.
    pub(super) fn start(&self, status: u16, headers: &[Header]) -> Result<(), ApiError> {
        let head = Head::new(status, headers)?;
        if let State::Open(answer) = self.0.replace(State::Ended) {
            self.0.replace(State::Body {
                sink: answer.start(head),
                buffer: Vec::new(),
            });
        }
        Ok(())
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let State::Body { sink, buffer } = &mut *self.0.borrow_mut() else {
            return Err(ended());
        };
        if buffer.len() + bytes.len() > BUFFER_LEN {
            sink.write(buffer)?;
            buffer.clear();
        }
        if bytes.len() > BUFFER_LEN {
            return sink.write(bytes);
        }
        buffer.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        let State::Body { sink, buffer } = &mut *self.0.borrow_mut() else {
            return Err(ended());
        };
        sink.write(buffer)?;
        buffer.clear();
        sink.flush()
    }

    /// Ends the body in good order; does nothing where there is none.
    pub(super) fn finish(&self) -> io::Result<()> {
        let State::Body { mut sink, buffer } = self.0.replace(State::Ended) else {
            return Ok(());
        };
        sink.write(&buffer)?;
        sink.finish()
    }

    fn send_error(&self, error: &ApiError) -> io::Result<()> {
        let (status, headers, body) = failure::response(error);
        self.start(status, &headers)
            .map_err(|error| io::Error::other(error.message))?;
        self.write(&body)?;
        self.finish()
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the response has ended")
}
