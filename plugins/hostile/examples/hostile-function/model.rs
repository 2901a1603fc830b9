//! Calls of the model:
//!
//! * `hold-generation`: starts one, never reads it, and never ends
//! * `many-generations`: starts up to 10,000 and keeps them; reports how many there were, and why no more
//! * `no-inputs`, `zero-samples`, `many-samples`, `bad-token`, `nan-temperature`, `huge-prompt`: a request that the contract or
//!   the server forbids; reports the refusal
//! * `generate`: an ordinary generation; reports its text

use hostile::huge_text;
use plugin_sdk::{InferenceRequest, Input, inference};

use crate::Outcome;
use crate::raw::wait_without_end;

pub(crate) fn obey(word: &str) -> Outcome {
    let mut request = ordinary();
    match word {
        "hold-generation" => {
            let generation = inference::generate(&request);
            wait_without_end();
            return Outcome::Report(report(generation));
        }
        "many-generations" => return Outcome::Report(start_many(&request)),
        "no-inputs" => request.inputs.clear(),
        "zero-samples" => request.n = 0,
        "many-samples" => request.n = u32::MAX,
        "bad-token" => request.inputs = vec![Input::Tokens(vec![u32::MAX])],
        "nan-temperature" => request.sampling.temperature = Some(f32::NAN),
        "huge-prompt" => request.inputs = vec![Input::Text(huge_text())],
        "generate" => {}
        _ => return Outcome::NotMine,
    }
    Outcome::Report(report(inference::generate(&request)))
}

fn ordinary() -> InferenceRequest {
    let model = inference::models().into_iter().next().unwrap_or_default();
    let mut request =
        InferenceRequest::new(model, vec![Input::Text("Once upon a time".to_owned())]);
    request.sampling.max_tokens = Some(8);
    request
}

fn report(generation: Result<inference::Generation, plugin_sdk::ApiError>) -> String {
    let text =
        generation.and_then(|mut generation| generation.texts().collect::<Result<String, _>>());
    match text {
        Ok(text) => format!("generated: {text}"),
        Err(refusal) => format!("refused with {}: {}", refusal.status, refusal.message),
    }
}

fn start_many(request: &InferenceRequest) -> String {
    let mut generations = Vec::new();
    while generations.len() < 10_000 {
        match inference::generate(request) {
            Ok(generation) => generations.push(generation),
            Err(refusal) => {
                let (started, why) = (generations.len(), refusal.message);
                return format!(
                    "started {started}, then refused with {}: {why}",
                    refusal.status
                );
            }
        }
    }
    format!("started {}", generations.len())
}
