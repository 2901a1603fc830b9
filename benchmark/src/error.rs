//! What can go wrong with the run, and what with one request of it.

use std::{error, io, time::Duration};

/// Why there is no report, or why it must not count as a success.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key cannot be sent in a header.
    #[error(
        "--api-key holds a character that no HTTP header may carry; look for a line break in it"
    )]
    ApiKey,
    /// The HTTP client did not start.
    #[error("the HTTP client did not start")]
    Client(#[source] reqwest::Error),
    /// No model was named and the server lists none.
    #[error(
        "cannot learn a model from {url}: {reason}; start the server, check that --base-url ends in /v1, or pass --model"
    )]
    Models {
        /// The address that was asked.
        url: String,
        /// What came instead of a list of models.
        reason: String,
    },
    /// The report is complete, but no request succeeded.
    #[error("all {requests} requests failed; most often with: {message}")]
    AllFailed {
        /// Requests that were sent.
        requests: u64,
        /// The most frequent message.
        message: String,
    },
    /// The report could not be written.
    #[error("cannot write the report to {target}")]
    Write {
        /// A path, or `stdout`.
        target: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Why one request failed. Equal texts are counted together.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("HTTP {status}: {message}")]
    Status { status: u16, message: String },
    #[error("error in the stream: {0}")]
    Reported(String),
    #[error("chunk is not what OpenAI sends ({reason}): {data}")]
    Malformed { reason: String, data: String },
    #[error("the stream ended without [DONE] (content-type {content_type})")]
    Truncated { content_type: String },
    #[error("no complete answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    #[error("connection: {0}")]
    Transport(String),
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        // The address is the same for all requests and would only hide the reason, which is the last of the chain.
        Failure::Transport(chain(&error.without_url()))
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    one_line(&text)
}

/// A foreign text made fit for a terminal and a table: no control characters, at most 200 characters.
pub(crate) fn one_line(text: &str) -> String {
    let mut line: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect();
    if text.trim().chars().nth(200).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_becomes_one_short_line_without_control_characters() {
        assert_eq!(one_line(" a\nb\x1b[31m "), "a b [31m");
        assert_eq!(one_line(&"é".repeat(200)), "é".repeat(200));
        assert_eq!(one_line(&"é".repeat(201)), "é".repeat(200) + "…");
    }
}
