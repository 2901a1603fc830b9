//! One connection too many.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
};

/// Most that are told why at a time; further ones are closed without a word.
const MAX_TOLD: usize = 256;

/// How long one may take to read it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Most bytes of the refused request that are read and thrown away. A connection that is closed with bytes under way is reset,
/// and the client would see that and not why it was refused.
const MAX_WASTE: u64 = 64 << 10;

const BODY: &str = r#"{"error":{"message":"this server has as many connections as it takes (--max-connections): try again in a second","type":"server_error","param":null,"code":"overloaded"}}"#;

/// Tells clients for whom there is no place.
pub(super) struct Overflow(Arc<Semaphore>);

impl Overflow {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_TOLD)))
    }

    /// Says 503 in plain HTTP/1.1 and closes, beside whatever else goes on.
    pub(super) fn refuse(&self, stream: TcpStream) {
        let Ok(place) = self.0.clone().try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            // Whoever does not read it in time goes without it.
            let _ = tokio::time::timeout(PATIENCE, tell(stream)).await;
            drop(place);
        });
    }
}

async fn tell(mut stream: TcpStream) -> std::io::Result<()> {
    let response = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after-ms: 1000\r\nretry-after: 1\r\nconnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await?;
    let mut waste = (&mut stream).take(MAX_WASTE);
    tokio::io::copy(&mut waste, &mut tokio::io::sink()).await?;
    Ok(())
}
