//! The accept loop and the drain.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{net::TcpListener, time::error::Elapsed};

use crate::{app::App, body::Body, pipeline};

/// How long a client may take to send a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);

/// Serves until `shutdown` completes; then takes no new connection, lets the requests that run come to their end for at
/// most `drain`. An error if some had to be cut off.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    shutdown: impl Future<Output = ()>,
    drain: Duration,
) -> Result<(), Elapsed> {
    let answer = {
        let app = app.clone();
        move |request| pipeline::answer(app.clone(), request)
    };
    let connections = accept(listener, answer, shutdown).await;
    app.start_draining();
    tokio::time::timeout(drain, connections.shutdown()).await
}

/// Takes connections until `shutdown` completes, and has every request on them answered. Returns the connections that are
/// still there.
pub(crate) async fn accept<F: Future<Output = Response<Body>> + Send + 'static>(
    listener: TcpListener,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    shutdown: impl Future<Output = ()>,
) -> GracefulShutdown {
    let connections = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Tokens are small and late ones are what users see.
                    let _ = stream.set_nodelay(true);
                    spawn_connection(TokioIo::new(stream), answer.clone(), &connections);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    // Out of file descriptors, most likely: closing ones will free some.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            () = &mut shutdown => return connections,
        }
    }
}

fn spawn_connection<F: Future<Output = Response<Body>> + Send + 'static>(
    stream: TokioIo<tokio::net::TcpStream>,
    answer: impl Fn(Request<Incoming>) -> F + Send + 'static,
    connections: &GracefulShutdown,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE);
    builder.http2().timer(TokioTimer::new());
    let connection = connections.watch(builder.serve_connection(stream, service).into_owned());
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            // A client that went away: its request was cancelled by the drop.
            tracing::debug!(%error, "connection ended early");
        }
    });
}
