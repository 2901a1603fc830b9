//! What a connection may take.

use std::time::Duration;

/// Bounds on connections. They keep clients that are slow, silent or too many from taking the places of others.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionLimits {
    /// Connections at a time. One more is told 503 and closed.
    pub max_connections: usize,
    /// Bytes of a request's head, over HTTP/2 counted as its RFC does; over HTTP/1.1 at least 8 KiB. Larger ones get 431.
    pub max_head_bytes: u32,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long the first request may take to come, and any request's head from its first byte to its last. Looked at that
    /// often, so that a later head may take up to twice as long.
    pub head: Duration,
    /// How long a request's body may take.
    pub body: Duration,
    /// How long a connection may be without a request after its last one. Above the minute that load balancers keep theirs, so that
    /// it is they who close first, and never send a request into a closed one.
    pub idle: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: 8192,
            max_head_bytes: 64 << 10,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            body: Duration::from_secs(60),
            idle: Duration::from_secs(75),
        }
    }
}
