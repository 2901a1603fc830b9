//! `POST /v1/completions`.

mod choice;
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
    let answer = match generation.stream {
        Some(options) => {
            let finish = settings.finish.unwrap_or(Finish::Merged);
            let stream = stream::CompletionStream::new(&identity, options, finish);
            Answer::new(stream, generation.form_field)
        }
        None => {
            let whole = whole::WholeCompletion::new(identity, num_choices);
            Answer::new(whole, generation.form_field)
        }
    };
    Ok(Outcome::Infer(
        convert::request(completion, generation),
        answer,
    ))
}
