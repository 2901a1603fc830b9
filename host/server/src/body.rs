//! Bodies, in and out.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, combinators::UnsyncBoxBody};
use sandbox::ApiError;

use crate::error::refusal;

/// What every response of this server carries.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A body that is known whole.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// How long a client may take to send its body.
const READ_DEADLINE: Duration = Duration::from_secs(60);

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read(
    body: impl hyper::body::Body<Data = Bytes, Error = hyper::Error>,
    limit: usize,
) -> Result<Bytes, ApiError> {
    let collected = tokio::time::timeout(READ_DEADLINE, Limited::new(body, limit).collect())
        .await
        .map_err(|_| {
            refusal(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body was not sent within {READ_DEADLINE:?}"),
            )
        })?;
    match collected {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the body is larger than {limit} bytes, this server's limit (--max-body-bytes)"
            ),
        )),
        Err(error) => Err(refusal(
            StatusCode::BAD_REQUEST,
            format!("the body could not be read: {error}"),
        )),
    }
}
