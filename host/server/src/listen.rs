//! The accept loop and the drain.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{net::TcpListener, time::error::Elapsed};

use crate::{app::App, pipeline};

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
    let connections = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Tokens are small and late ones are what users see.
                    let _ = stream.set_nodelay(true);
                    spawn_connection(TokioIo::new(stream), &app, &connections);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    // Out of file descriptors, most likely: closing ones will free some.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    app.start_draining();
    tokio::time::timeout(drain, connections.shutdown()).await
}

fn spawn_connection(
    stream: TokioIo<tokio::net::TcpStream>,
    app: &Arc<App>,
    connections: &GracefulShutdown,
) {
    let app = app.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let app = app.clone();
        async move { Ok::<_, Infallible>(pipeline::answer(app, request).await) }
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
