//! Bodies that stream between a client and a guest.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::task::AbortHandle;
use wasmtime_wasi_http::WasiBody;

use super::Failure;
use crate::error::PluginError;

/// A request's body, on its way into a guest.
pub(super) fn incoming<B>(body: B) -> WasiBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    // Which way a client went away makes no difference to a guest.
    body.map_err(|_| wasmtime_wasi_http::Error::ConnectionTerminated)
        .boxed_unsync()
}

/// The body of a function's response. Dropping it before its end ends the instance that writes it.
pub struct FunctionBody {
    body: WasiBody,
    guest: AbortOnDrop,
    failure: Failure,
    /// What is left of the length that the head announced: who reads it has no reason to ask for more after that.
    left: Option<u64>,
    ended: bool,
}

/// A response that broke off: the client must not take it for a whole one.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FunctionFailed {
    /// The guest failed after it had begun to answer.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The guest broke off by itself, or wrote another number of bytes than it had announced.
    #[error("the function broke its response off: {0}")]
    BrokenOff(String),
}

impl FunctionBody {
    pub(super) fn new(
        response: http::Response<WasiBody>,
        guest: AbortOnDrop,
        failure: Failure,
    ) -> http::Response<FunctionBody> {
        let len = response.headers().get(http::header::CONTENT_LENGTH);
        let len = len.and_then(|len| len.to_str().ok()?.parse().ok());
        response.map(|body| {
            let mut body = FunctionBody {
                body,
                guest,
                failure,
                left: len,
                ended: false,
            };
            body.written(0);
            body
        })
    }

    fn written(&mut self, len: usize) {
        self.left = self.left.map(|left| left.saturating_sub(len as u64));
        if self.left == Some(0) {
            self.end();
        }
    }

    /// Whatever the guest still does after its last byte, it may finish.
    fn end(&mut self) {
        self.ended = true;
        self.guest.disarm();
    }
}

impl Body for FunctionBody {
    type Data = Bytes;
    type Error = FunctionFailed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FunctionFailed>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        match frame {
            Some(Ok(frame)) => {
                self.written(frame.data_ref().map_or(0, Bytes::len));
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.ended = true;
                Poll::Ready(Some(Err(FunctionFailed::BrokenOff(format!("{error:?}")))))
            }
            None => {
                self.end();
                // The runtime ends the body in the same way for a guest that is done and one that is gone.
                let failure = self.failure.get().cloned();
                Poll::Ready(failure.map(|failure| Err(failure.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // Never before the end was seen: the runtime's body does not know of failures.
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Ends a task whose result nobody waits for any more.
pub(super) struct AbortOnDrop(Option<AbortHandle>);

impl AbortOnDrop {
    pub(super) fn new(task: AbortHandle) -> AbortOnDrop {
        AbortOnDrop(Some(task))
    }

    /// Lets the task run to its own end.
    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
