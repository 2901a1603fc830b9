//! One connection, from its first byte to its last.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{
    ConnectionLimits,
    activity::{Activity, Answer, Observed, Overdue},
    connections::{Membership, Stage},
};
use crate::{body::Body, tls::Tls};

/// Requests of one HTTP/2 connection at a time; a client with more waits or opens another.
const MAX_STREAMS: u32 = 256;

/// The least that hyper reads a head into.
const MIN_HEAD_BYTES: usize = 8192;

/// How often HTTP/2 clients are asked whether they are there, and how long they may take to say so. A stream that waits for its
/// first token sends nothing by which a lost client would show.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Serves a connection to its end: the client's, its own limits' or the server's.
pub(super) async fn run<F: Future<Output = Response<Body>> + Send + 'static>(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    limits: Arc<ConnectionLimits>,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    mut membership: Membership,
) {
    // Tokens are small and late ones are what users see.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return converse(stream, &limits, answer, membership).await;
    };
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(limits.handshake, tls.accept(stream)) => shaken,
        () = membership.reached(Stage::Draining) => return,
    };
    match shaken {
        Ok(Ok(stream)) => converse(stream, &limits, answer, membership).await,
        // Among them whoever speaks plain HTTP here.
        Ok(Err(error)) => tracing::debug!(%error, "no TLS handshake"),
        Err(_) => tracing::debug!(limit = ?limits.handshake, "a TLS handshake took too long"),
    }
}

async fn converse<F: Future<Output = Response<Body>> + Send + 'static>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    limits: &ConnectionLimits,
    answer: impl Fn(Request<Incoming>) -> F + Send + 'static,
    mut membership: Membership,
) {
    let activity = Activity::new();
    let service = service_fn({
        let activity = activity.clone();
        move |request: Request<Incoming>| {
            let serving = activity.serve(request.version());
            let answered = answer(request);
            async move {
                let response = answered.await;
                Ok::<_, Infallible>(response.map(|body| Answer {
                    body,
                    _serving: serving,
                }))
            }
        }
    });
    let stream = Observed {
        stream,
        activity: activity.clone(),
    };
    let builder = builder(limits);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut stage = Stage::Draining;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    // A client that went away: its request was cancelled by the drop.
                    tracing::debug!(%error, "connection ended early");
                }
                return;
            }
            () = membership.reached(stage) => match stage {
                Stage::Serving | Stage::Draining => {
                    stage = Stage::Cut;
                    activity.leave();
                    connection.as_mut().graceful_shutdown();
                }
                Stage::Cut => return,
            },
            overdue = activity.overdue(limits) => match overdue {
                Overdue::Idle => {
                    activity.leave();
                    connection.as_mut().graceful_shutdown();
                }
                Overdue::Head | Overdue::Leaving => {
                    tracing::debug!(?overdue, "a slow connection was cut off");
                    return;
                }
            },
        }
    }
}

fn builder(limits: &ConnectionLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Activity does this, from the first moment on.
        .header_read_timeout(None)
        .max_buf_size((limits.max_head_bytes as usize).max(MIN_HEAD_BYTES));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(limits.max_head_bytes);
    builder
}
