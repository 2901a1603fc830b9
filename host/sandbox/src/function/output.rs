//! What a guest writes to its standard output and error becomes lines of its log.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use crate::logs::LogLevel;

/// Bytes of a line that are kept until its end comes; the rest is cut there.
const LINE_BYTES: usize = 2 << 10;

/// Lines that wait to be logged; a guest that writes more before the host looks loses them, as it would by its log quota.
const MAX_LINES: usize = 1024;

/// A stream that collects lines, and the host's end of it.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<Lines>>);

struct Lines {
    level: LogLevel,
    begun: Vec<u8>,
    whole: Vec<String>,
}

impl Output {
    pub(super) fn new(level: LogLevel) -> Output {
        Output(Arc::new(Mutex::new(Lines {
            level,
            begun: Vec::new(),
            whole: Vec::new(),
        })))
    }

    /// The lines since the last time, the last one even if it has no end.
    pub(super) fn take(&self) -> (LogLevel, Vec<String>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.end_line();
        (lines.level, std::mem::take(&mut lines.whole))
    }
}

impl Lines {
    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let room = LINE_BYTES - self.begun.len();
            self.begun.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.begun);
        if !line.is_empty() && self.whole.len() < MAX_LINES {
            self.whole.push(String::from_utf8_lossy(&line).into_owned());
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_lines_of_bounded_length() {
        let output = Output::new(LogLevel::Info);
        let write = |bytes: &[u8]| output.0.lock().unwrap().write(bytes);
        write(b"one\ntw");
        write(b"o\n\n");
        write(&[b'x'; LINE_BYTES + 1]);
        write(b"\nlast");
        let long = "x".repeat(LINE_BYTES);
        assert_eq!(output.take().1, ["one", "two", &long, "last"]);
        assert!(output.take().1.is_empty());
    }
}
