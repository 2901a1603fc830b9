//! A question, from the client's words to those of the model.

use plugin_sdk::function::{Request, Responder};
use plugin_sdk::{ApiError, Conversation, InferenceRequest, Input, Message, Sampling, inference};
use serde::Deserialize;

use crate::answer::{self, Source};
use crate::documents;
use crate::ranking::Search;
use crate::settings::Settings;

const MAX_BODY_LEN: usize = 64 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    question: String,
    #[serde(default = "yes")]
    stream: bool,
}

fn yes() -> bool {
    true
}

/// `POST ask`: answers from the passages that say most about the question.
pub(crate) fn ask(request: &mut Request, response: Responder) -> Result<(), ApiError> {
    let Question { question, stream } = request.read_json(MAX_BODY_LEN)?;
    let settings = Settings::read()?;
    let mut search = Search::new(&question);
    if search.is_empty() {
        return Err(ApiError::invalid(
            "question",
            "`question` has no words; ask something",
        ));
    }
    documents::search(&mut search)?;
    let mut sources = Vec::new();
    for hit in search.best(settings.passages) {
        if let Some(text) = documents::text_of(&hit)? {
            sources.push(Source::new(sources.len() + 1, hit, text));
        }
    }
    let answering = if stream {
        answer::stream
    } else {
        answer::whole
    };
    if sources.is_empty() {
        // The model would have nothing to go by but itself.
        return answering(response, &sources, None);
    }
    // Before the head is sent: a refusal has a status of its own.
    let generation =
        inference::generate(&inference_request(&question, &sources, settings, stream)?)?;
    answering(response, &sources, Some(generation))
}

fn inference_request(
    question: &str,
    sources: &[Source],
    settings: Settings,
    stream: bool,
) -> Result<InferenceRequest, ApiError> {
    let served = || inference::models().into_iter().next();
    let model = settings.model.or_else(served).ok_or_else(|| {
        ApiError::new(503, "server_error", "no model is served that could answer")
    })?;
    let passages: String = sources.iter().map(Source::to_prompt).collect();
    let messages = vec![
        Message::new("system", settings.instructions),
        Message::new("user", format!("{passages}Question: {question}")),
    ];
    let mut conversation = Conversation::new(messages);
    if !settings.thinking {
        // Templates that do not know the variable take no notice.
        conversation.template_variables = Some(r#"{"enable_thinking":false}"#.to_owned());
    }
    Ok(InferenceRequest {
        sampling: Sampling {
            max_tokens: Some(settings.max_tokens),
            temperature: Some(settings.temperature),
            ..Sampling::default()
        },
        stream,
        ..InferenceRequest::new(model, vec![Input::Chat(conversation)])
    })
}
