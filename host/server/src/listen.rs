//! The accept loop and the drain.

mod activity;
mod connection;
mod connections;
mod limits;
mod overflow;

use std::{sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::{net::TcpListener, time::error::Elapsed};

use crate::{app::App, body::Body, metrics::ConnectionMetrics, pipeline, tls::Tls};
pub(crate) use connections::Connections;
pub use limits::ConnectionLimits;
use overflow::Overflow;

/// Where connections come from, in the clear or not.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Arc<Tls>>,
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, tls: None }
    }
}

impl Listener {
    /// Speaks TLS and nothing else.
    pub fn with_tls(tcp: TcpListener, tls: Arc<Tls>) -> Self {
        Self {
            tcp,
            tls: Some(tls),
        }
    }
}

/// Serves until `shutdown` completes; then takes no new connection, lets the requests that run come to their end for at
/// most `drain`, and cuts off what is left. An error if something was.
pub async fn serve(
    listener: impl Into<Listener>,
    app: Arc<App>,
    shutdown: impl Future<Output = ()>,
    drain: Duration,
) -> Result<(), Elapsed> {
    let answer = {
        let app = app.clone();
        move |request| pipeline::answer(app.clone(), request)
    };
    let terms = Terms {
        limits: app.settings.connections.clone(),
        metrics: app.metrics.connections.clone(),
    };
    let connections = accept(listener.into(), terms, answer, shutdown).await;
    app.start_draining();
    connections.drain(drain).await
}

/// What connections are held to, and where they are counted.
#[derive(Default)]
pub(crate) struct Terms {
    pub(crate) limits: ConnectionLimits,
    pub(crate) metrics: ConnectionMetrics,
}

/// Takes connections until `shutdown` completes, and has every request on them answered. Returns the connections that are
/// still there; by then the port is free for another process.
pub(crate) async fn accept<F: Future<Output = Response<Body>> + Send + 'static>(
    listener: Listener,
    Terms { limits, metrics }: Terms,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    shutdown: impl Future<Output = ()>,
) -> Connections {
    let connections = Connections::new();
    let limits = Arc::new(limits);
    let overflow = Overflow::new();
    let Listener { tcp, tls } = listener;
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = tcp.accept() => match accepted {
                Ok((stream, _)) if metrics.num_open() >= limits.max_connections => {
                    metrics.refused();
                    // What it is told is no TLS; to those that want that, the end alone must do.
                    if tls.is_none() {
                        overflow.refuse(stream);
                    }
                }
                Ok((stream, _)) => {
                    let place = metrics.opened();
                    let running = connection::run(
                        stream,
                        tls.clone(),
                        limits.clone(),
                        answer.clone(),
                        connections.join(),
                    );
                    tokio::spawn(async move {
                        running.await;
                        drop(place);
                    });
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
