//! What a connection is busy with, and since when: hyper's own limit on heads neither counts from a connection's first moment nor
//! tells a slow head from an idle connection, and does nothing over HTTP/2.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use http::Version;
use http_body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::ConnectionLimits;

/// How long a connection may take to close once it was asked to and has nothing to do.
const LEAVING: Duration = Duration::from_secs(5);

/// Shared by a connection's stream, its requests and whoever watches it.
#[derive(Clone)]
pub(super) struct Activity(Arc<Mutex<State>>);

struct State {
    phase: Phase,
    since: Instant,
    num_serving: usize,
    /// HTTP/2: bytes need not be those of a request.
    multiplexed: bool,
    leaving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A head is on its way, or the connection is new.
    Head,
    /// Requests are being answered.
    Serving,
    /// There has been a request, and there is none.
    Idle,
    /// It was asked to close and has nothing to do.
    Leaving,
}

/// Why a connection has had its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// It may be asked to close.
    Idle,
    /// It did not send a head in time.
    Head,
    /// It was asked to close, and has not.
    Leaving,
}

impl Activity {
    /// Of a connection that was accepted now.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            phase: Phase::Head,
            since: Instant::now(),
            num_serving: 0,
            multiplexed: false,
            leaving: false,
        })))
    }

    /// A request's head was read; it is being answered until what is returned is dropped.
    pub(super) fn serve(&self, version: Version) -> Serving {
        let mut state = self.state();
        state.multiplexed |= version == Version::HTTP_2;
        state.num_serving += 1;
        state.enter(Phase::Serving);
        Serving(self.clone())
    }

    /// The connection was asked to close.
    pub(super) fn leave(&self) {
        let mut state = self.state();
        state.leaving = true;
        if state.phase == Phase::Idle {
            state.enter(Phase::Leaving);
        }
    }

    /// Completes when the connection has had its time.
    pub(super) async fn overdue(&self, limits: &ConnectionLimits) -> Overdue {
        loop {
            let now = Instant::now();
            // A change of phase wakes nobody here, which would cost each request some; so it is looked at in between.
            let next_look = now + limits.head.min(limits.idle);
            let wake_at = match self.state().deadline(limits) {
                Some((deadline, overdue)) if deadline <= now => return overdue,
                Some((deadline, _)) => deadline.min(next_look),
                None => next_look,
            };
            tokio::time::sleep_until(wake_at).await;
        }
    }

    fn read(&self) {
        let mut state = self.state();
        if state.phase == Phase::Idle && !state.multiplexed {
            state.enter(Phase::Head);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }

    fn deadline(&self, limits: &ConnectionLimits) -> Option<(Instant, Overdue)> {
        let (limit, overdue) = match self.phase {
            Phase::Head => (limits.head, Overdue::Head),
            Phase::Serving => return None,
            Phase::Idle => (limits.idle, Overdue::Idle),
            Phase::Leaving => (LEAVING, Overdue::Leaving),
        };
        Some((self.since + limit, overdue))
    }
}

/// One request that is being answered.
pub(super) struct Serving(Activity);

impl Drop for Serving {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.num_serving -= 1;
        if state.num_serving == 0 {
            let next = match state.leaving {
                true => Phase::Leaving,
                false => Phase::Idle,
            };
            state.enter(next);
        }
    }
}

/// A response's body, with which its request ends.
pub(super) struct Answer<B> {
    pub(super) body: B,
    pub(super) _serving: Serving,
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection's stream that says when bytes come.
pub(super) struct Observed<S> {
    pub(super) stream: S,
    pub(super) activity: Activity,
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > len {
            self.activity.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is overdue long from now, if anything is.
    fn overdue_at_last(activity: &Activity) -> Option<Overdue> {
        let deadline = activity.state().deadline(&ConnectionLimits::default());
        deadline.map(|(_, overdue)| overdue)
    }

    #[test]
    fn a_new_connection_owes_a_head_and_one_that_answers_owes_nothing() {
        let activity = Activity::new();
        assert_eq!(overdue_at_last(&activity), Some(Overdue::Head));
        let serving = activity.serve(Version::HTTP_11);
        assert_eq!(overdue_at_last(&activity), None);
        drop(serving);
        assert_eq!(overdue_at_last(&activity), Some(Overdue::Idle));
    }

    #[test]
    fn the_first_byte_of_the_next_head_starts_its_time() {
        let activity = Activity::new();
        drop(activity.serve(Version::HTTP_11));
        activity.read();
        assert_eq!(overdue_at_last(&activity), Some(Overdue::Head));
    }

    #[test]
    fn pings_over_http_2_are_no_heads_and_one_stream_that_ends_leaves_the_others() {
        let activity = Activity::new();
        let first = activity.serve(Version::HTTP_2);
        let second = activity.serve(Version::HTTP_2);
        drop(first);
        assert_eq!(overdue_at_last(&activity), None);
        drop(second);
        activity.read();
        assert_eq!(overdue_at_last(&activity), Some(Overdue::Idle));
    }

    #[test]
    fn a_connection_that_was_asked_to_close_has_little_time_once_it_has_nothing_to_do() {
        let activity = Activity::new();
        let serving = activity.serve(Version::HTTP_2);
        activity.leave();
        assert_eq!(overdue_at_last(&activity), None);
        drop(serving);
        assert_eq!(overdue_at_last(&activity), Some(Overdue::Leaving));
    }
}
