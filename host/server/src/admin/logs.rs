//! What plugins and functions logged, as JSON lines, to be followed as they come.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use sandbox::{ApiError, LogBook, LogLine};
use serde_json::json;

use crate::{app::App, body::Body, error::refusal};

/// What of a log is asked for.
#[derive(Debug, PartialEq)]
struct Asked {
    after: u64,
    follow: bool,
}

pub(super) fn read(app: &App, name: &str, query: Option<&str>) -> Result<Response<Body>, ApiError> {
    let asked = parse(query.unwrap_or_default())
        .map_err(|message| refusal(StatusCode::BAD_REQUEST, message))?;
    let book = app.sandbox.logs(name).ok_or_else(|| {
        let message = format!("nothing called `{name}` was loaded here");
        refusal(StatusCode::NOT_FOUND, message)
    })?;
    let mut response = Response::new(match asked.follow {
        true => follow(book, asked.after),
        false => crate::body::full(write(&book.after(asked.after))),
    });
    let kind = header::HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

fn parse(query: &str) -> Result<Asked, String> {
    let mut asked = Asked {
        after: 0,
        follow: false,
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("after", number)) => {
                asked.after = number.parse().map_err(|_| {
                    format!(
                        "after={number} is no line's number: give the last `sequence` that you have"
                    )
                })?;
            }
            Some(("follow", "true")) => asked.follow = true,
            Some(("follow", "false")) => asked.follow = false,
            _ => {
                return Err(format!(
                    "unknown parameter `{pair}`: known are after=N and follow=true"
                ));
            }
        }
    }
    Ok(asked)
}

/// Lines as they are written, until the reader leaves.
fn follow(book: Arc<LogBook>, after: u64) -> Body {
    let lines = stream::unfold((book, after), |(book, after)| async move {
        let lines = book.clone().follow(after).await;
        let last = lines.last().map_or(after, |line| line.sequence);
        Some((
            Ok::<_, Infallible>(Frame::data(write(&lines))),
            (book, last),
        ))
    });
    StreamBody::new(lines)
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn write(lines: &[LogLine]) -> Bytes {
    let lines = lines.iter().map(|line| {
        let line = json!({
            "sequence": line.sequence,
            "unix_ms": line.unix_ms,
            "request_id": line.request_id,
            "level": line.level.as_str(),
            "text": line.text,
        });
        format!("{line}\n")
    });
    lines.collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_from_where_and_whether_to_wait_for_more() {
        assert_eq!(
            parse(""),
            Ok(Asked {
                after: 0,
                follow: false
            })
        );
        assert_eq!(
            parse("after=7&follow=true"),
            Ok(Asked {
                after: 7,
                follow: true
            })
        );
        for bad in ["after=x", "follow=1", "tail=3", "after"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
