//! `POST /v1/chat/completions`.

mod calls;
mod convert;
mod logprobs;
mod stream;
mod types;
mod validate;
mod whole;

use plugin_sdk::{ApiError, Outcome, ServerInfo};

use crate::{
    answer::{Answer, Identity},
    body,
    generation::Generation,
    settings::{Finish, Settings},
};
use calls::Calls;
use types::ChatRequest;

/// Reads a request, and prepares its answer.
pub(crate) fn parse(
    body: &[u8],
    server: &ServerInfo,
    settings: Settings,
) -> Result<Outcome<Answer>, ApiError> {
    let fields = body::parse(body)?;
    let generation = Generation::read(&fields, server)?;
    validate::check_support(&fields)?;
    let chat = ChatRequest::read(&fields)?;
    validate::check(&chat, &generation.sampling)?;

    let calls = Calls::new(&server.request_id, chat.parallel_tool_calls);
    let identity = |object| Identity::new("chatcmpl", object, server, &generation.model);
    let answer = match generation.stream {
        Some(options) => {
            let finish = settings.finish.unwrap_or(Finish::Separate);
            let identity = identity("chat.completion.chunk");
            let stream = stream::ChatStream::new(&identity, options, finish, calls);
            Answer::new(stream, generation.form_field)
        }
        None => {
            let whole = whole::WholeChat::new(identity("chat.completion"), generation.n, calls);
            Answer::new(whole, generation.form_field)
        }
    };
    Ok(Outcome::Infer(convert::request(chat, generation), answer))
}
