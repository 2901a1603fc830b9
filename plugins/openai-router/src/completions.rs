//! `POST /v1/completions`.

mod choice;
mod convert;
mod echo;
mod logprobs;
mod stream;
mod types;
mod validate;
mod whole;

use plugin_sdk::{ApiError, Outcome, ServerInfo, Task};

use crate::{
    answer::{Answer, Identity},
    body,
    generation::Generation,
    settings::{Finish, Settings},
};
use echo::Echo;
use types::CompletionRequest;

/// Reads a request, and prepares its answer.
pub(crate) fn parse(
    body: &[u8],
    server: &ServerInfo,
    settings: Settings,
) -> Result<Outcome<Answer>, ApiError> {
    let fields = body::parse(body)?;
    let generation = Generation::read(&fields, server)?;
    validate::check_support(&fields)?;
    let completion = CompletionRequest::read(&fields)?;
    let num_choices = validate::check(&completion.prompts, generation.n)?;

    let identity = Identity::new("cmpl", "text_completion", server, &generation.model);
    let names = [("constraint", generation.form_field)];
    let stream = generation.stream;
    let request = convert::request(completion, generation);
    let echo = Echo::of(&request);
    let answer = match stream {
        Some(options) => {
            let finish = settings.finish.unwrap_or(Finish::Merged);
            let stream = stream::CompletionStream::new(&identity, options, echo, finish);
            Answer::new(stream, names)
        }
        None => {
            let whole = whole::WholeCompletion::new(identity, echo, num_choices);
            Answer::new(whole, names)
        }
    };
    Ok(Outcome::Run(Task::Generate(request), answer))
}
