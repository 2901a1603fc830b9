//! Bodies, in and out.

use std::{error::Error, pin::pin, time::Duration};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use sandbox::ApiError;

use crate::error::refusal;

/// What every response of this server carries. An error cuts it off, so that no client takes it for a whole one.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// A body that is known whole.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// How long an administrator may take to send a body.
pub(crate) const ADMIN_DEADLINE: Duration = Duration::from_secs(60);

/// Bytes of a refused body that are read and thrown away, in multiples of the limit. A connection that is closed with bytes
/// under way is reset, and the client would see that and not why it was refused.
const MAX_WASTE: usize = 8;

/// How large a body may be, and who says so.
#[derive(Clone, Copy)]
pub(crate) struct MaxLen {
    pub(crate) bytes: usize,
    /// In words, for the client.
    pub(crate) set_by: &'static str,
}

/// Reads a body of at most this length, which must come within the deadline.
pub(crate) async fn read(
    body: impl hyper::body::Body<Data = Bytes, Error = hyper::Error>,
    max: MaxLen,
    deadline: Duration,
) -> Result<Bytes, ApiError> {
    tokio::time::timeout(deadline, collect(body, max))
        .await
        .unwrap_or_else(|_| {
            Err(refusal(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body was not sent within {deadline:?}"),
            ))
        })
}

async fn collect(
    body: impl hyper::body::Body<Data = Bytes, Error = hyper::Error>,
    MaxLen {
        bytes: limit,
        set_by,
    }: MaxLen,
) -> Result<Bytes, ApiError> {
    let mut body = pin!(body);
    let mut len = 0;
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            refusal(
                StatusCode::BAD_REQUEST,
                format!("the body could not be read: {error}"),
            )
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        len += data.len();
        if len <= limit {
            bytes.extend_from_slice(&data);
        } else if len > limit.saturating_mul(MAX_WASTE) {
            break;
        }
    }
    if len <= limit {
        return Ok(bytes.freeze());
    }
    let message = format!("the body is larger than {limit} bytes, {set_by}");
    Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, message))
}
