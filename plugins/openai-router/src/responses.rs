//! `POST /v1/responses`, without a memory: nothing is stored, so a conversation comes whole with each request.

mod convert;
mod echo;
mod envelope;
mod events;
mod input;
mod item;
mod output;
mod stream;
mod tools;
mod types;
mod validate;
mod whole;

use plugin_sdk::{ApiError, Outcome, ServerInfo, Task};

use crate::{answer::Answer, body, calls::Calls, generation::Generation, ids::Digest};
use echo::Echo;
use envelope::Envelope;
use output::Output;
use types::ResponsesRequest;

/// Reads a request, and prepares its answer.
pub(crate) fn parse(body: &[u8], server: &ServerInfo) -> Result<Outcome<Answer>, ApiError> {
    let fields = body::parse(body)?;
    // First, since some of what is refused here is another endpoint's name for a field of this one.
    validate::check_support(&fields)?;
    let mut generation = Generation::read(&fields, server)?;
    let mut request = ResponsesRequest::read(&fields)?;
    generation.limit(request.max_output_tokens)?;
    if let Some(form) = request.form.take() {
        generation.form("text.format", form)?;
    }
    validate::check(&request, &generation.sampling)?;

    let id = &server.request_id;
    let echo = Echo::of(&fields, &request)?;
    let envelope = Envelope::new(server, &generation.model, echo);
    let output = Output::new(Digest::of(id), Calls::new(id, request.parallel_tool_calls));
    let names = [
        ("constraint", generation.form_field),
        ("messages", "input"),
        ("max_tokens", "max_output_tokens"),
    ];
    let answer = match generation.stream {
        Some(_) => Answer::new(stream::ResponseStream::new(envelope, output), names),
        None => Answer::new(whole::WholeResponse::new(envelope, output), names),
    };
    Ok(Outcome::Run(
        Task::Generate(convert::request(request, generation)),
        answer,
    ))
}
