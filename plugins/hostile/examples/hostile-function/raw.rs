//! Harms that the SDK's types rule out:
//!
//! * `no-answer`: ends without having answered
//! * `never-answer`: waits without end, and without computing, before it answers
//! * `answer-twice`: answers, then answers again with a handle that it no longer owns
//! * `error-answer`: answers with an error of WASI's in place of a response
//! * `drop-body`: lets go of the body half-way, and returns as if nothing were
//! * `forget-body`: begins a response and ends without finishing or dropping it
//! * `hold-body`: takes the request's body, never reads it, and answers
//! * `table-bomb`: makes resources without end, each an entry in the tables of the host

use std::hint::black_box;

use wasip2::clocks::monotonic_clock;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

/// Gives the right to answer back where the word is none of these.
pub(crate) fn obey(
    word: &str,
    request: &IncomingRequest,
    answer: ResponseOutparam,
) -> Option<ResponseOutparam> {
    match word {
        "no-answer" => drop(answer),
        "never-answer" => {
            wait_without_end();
            return Some(answer);
        }
        "answer-twice" => answer_twice(answer),
        "error-answer" => {
            let code = ErrorCode::InternalError(Some("a hostile function was asked to".to_owned()));
            ResponseOutparam::set(answer, Err(code));
        }
        "drop-body" => drop(begin(answer, b"half of")),
        "forget-body" => std::mem::forget(begin(answer, b"half of")),
        "hold-body" => {
            let body = request.consume();
            finish(begin(answer, b"not read"));
            drop(body);
        }
        "table-bomb" => loop {
            std::mem::forget(black_box(Fields::new()));
        },
        _ => return Some(answer),
    }
    None
}

/// Waits 584 years.
pub(crate) fn wait_without_end() {
    monotonic_clock::subscribe_duration(u64::MAX).block();
}

/// Answers with status 200 and the beginning of a body.
fn begin(answer: ResponseOutparam, bytes: &[u8]) -> Option<OutgoingBody> {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().ok()?;
    ResponseOutparam::set(answer, Ok(response));
    body.write().ok()?.blocking_write_and_flush(bytes).ok()?;
    Some(body)
}

fn finish(body: Option<OutgoingBody>) {
    if let Some(body) = body {
        // The client sees by itself whether the response is whole.
        let _ = OutgoingBody::finish(body, None);
    }
}

#[allow(unsafe_code, reason = "no safe type owns the same handle twice")]
fn answer_twice(answer: ResponseOutparam) {
    // SAFETY: none is claimed for the second handle, which is the point; the host has to notice that it is not this instance's
    // any more. In this instance the two are plain numbers.
    let again = unsafe { ResponseOutparam::from_handle(answer.handle()) };
    finish(begin(answer, b"once"));
    finish(begin(again, b"twice"));
}
