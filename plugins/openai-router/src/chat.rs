//! `POST /v1/chat/completions`.

mod convert;
mod logprobs;
mod stream;
mod types;
mod validate;
mod whole;

use plugin_sdk::{ApiError, Conversation, Outcome, ServerInfo, Task};

use crate::{
    answer::{Answer, Identity},
    body::{self, Object},
    calls::Calls,
    generation::Generation,
    settings::{Finish, Settings},
};
use types::ChatRequest;

/// Reads a conversation alone, for those who want to know its tokens.
pub(crate) fn read_conversation(fields: &Object) -> Result<Conversation, ApiError> {
    let chat = ChatRequest::read(fields)?;
    validate::check_conversation(&chat)?;
    Ok(convert::conversation(chat))
}

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
    let names = [("constraint", generation.form_field)];
    let answer = match generation.stream {
        Some(options) => {
            let finish = settings.finish.unwrap_or(Finish::Separate);
            let identity = identity("chat.completion.chunk");
            let stream = stream::ChatStream::new(&identity, options, finish, calls);
            Answer::new(stream, names)
        }
        None => {
            let whole = whole::WholeChat::new(identity("chat.completion"), generation.n, calls);
            Answer::new(whole, names)
        }
    };
    Ok(Outcome::Run(
        Task::Generate(convert::request(chat, generation)),
        answer,
    ))
}
