//! `POST /v1/messages`: from a body to a request for the engine.

mod block;
mod convert;
mod options;
mod tools;
mod turn;
mod types;
mod validate;

use plugin_sdk::{ApiError, Outcome, ServerInfo, Task};

use crate::{
    answer::{Answer, Calls, Identity},
    body,
    stream::StreamedMessage,
    whole::WholeMessage,
};
use types::MessagesRequest;

/// Reads a request, and prepares its answer.
pub(crate) fn parse(body: &[u8], server: &ServerInfo) -> Result<Outcome<Answer>, ApiError> {
    let fields = body::parse(body)?;
    validate::check_fields(&fields)?;
    let request = MessagesRequest::read(&fields)?;
    validate::check(&request, server)?;

    let identity = Identity::new(server, &request.model);
    let calls = Calls::new(&server.request_id, request.parallel_calls);
    let answer = match request.stream {
        true => Answer::Streamed(StreamedMessage::new(identity, calls)),
        false => Answer::Whole(WholeMessage::new(identity, calls)),
    };
    Ok(Outcome::Run(
        Task::Generate(convert::request(request)),
        answer,
    ))
}
