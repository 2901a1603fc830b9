//! What a function is called with, and what becomes of its answer.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::rc::Rc;

use crate::{ApiError, Header};

/// A body that comes in given pieces.
pub(crate) struct Body(VecDeque<Vec<u8>>);

/// The client's end of a call.
pub(crate) struct Answer {
    pub(crate) seen: Rc<RefCell<Seen>>,
    /// Bytes of the body after which the client goes away.
    pub(crate) patience: usize,
}

/// What the client has seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) head: Option<Head>,
    /// The bytes between two flushes.
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) finished: bool,
    pub(crate) gone: bool,
}

pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: Vec<Header>,
}

pub(crate) struct Sink {
    answer: Answer,
    piece: Vec<u8>,
    len: usize,
}

impl Body {
    pub(crate) fn new(pieces: impl IntoIterator<Item = Vec<u8>>) -> Body {
        // Nothing would end the body at an empty piece.
        Body(
            pieces
                .into_iter()
                .filter(|piece| !piece.is_empty())
                .collect(),
        )
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.0.front_mut() else {
            return Ok(0);
        };
        let len = piece.len().min(buffer.len());
        buffer[..len].copy_from_slice(&piece[..len]);
        piece.drain(..len);
        if piece.is_empty() {
            self.0.pop_front();
        }
        Ok(len)
    }
}

impl Head {
    /// Checks what the host would check.
    pub(crate) fn new(status: u16, headers: &[Header]) -> Result<Head, ApiError> {
        const KEPT_BY_HOST: [&str; 6] = [
            "connection",
            "keep-alive",
            "transfer-encoding",
            "upgrade",
            "host",
            "proxy-connection",
        ];
        if !(200..600).contains(&status) {
            let message = format!("the function cannot answer with status {status}");
            return Err(ApiError::server(message));
        }
        for Header { name, value } in headers {
            let token =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            let visible = |byte: u8| byte >= b' ' && byte != 0x7f || byte == b'\t';
            let why = if name.is_empty()
                || !name.bytes().all(token)
                || !value.iter().all(|&byte| visible(byte))
            {
                "its name or value is not one that HTTP allows"
            } else if KEPT_BY_HOST.contains(&name.to_ascii_lowercase().as_str()) {
                "the host sets it"
            } else {
                continue;
            };
            let message = format!("the function cannot send the header `{name}`: {why}");
            return Err(ApiError::server(message));
        }
        Ok(Head {
            status,
            headers: headers.to_vec(),
        })
    }
}

impl Answer {
    pub(crate) fn start(self, head: Head) -> Sink {
        self.seen.borrow_mut().head = Some(head);
        Sink {
            answer: self,
            piece: Vec::new(),
            len: 0,
        }
    }
}

impl Sink {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len();
        if self.len > self.answer.patience {
            self.answer.seen.borrow_mut().gone = true;
            return Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the other side has gone away",
            ));
        }
        self.piece.extend_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if !self.piece.is_empty() {
            let piece = std::mem::take(&mut self.piece);
            self.answer.seen.borrow_mut().pieces.push(piece);
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.answer.seen.borrow_mut().finished = true;
        Ok(())
    }
}
