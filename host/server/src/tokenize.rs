//! What the tokens of a text are, and the text of tokens, without the engine.

use sandbox::{ApiError, Event, PluginSet, TokenizeRequest, Usage};

use crate::{
    app::App,
    error::invalid,
    pipeline::Arrival,
    prompt::{self, Around, Reader},
};

/// The prompts of a request, one event for each input.
pub(crate) async fn run(
    app: &App,
    plugins: &PluginSet,
    request: &TokenizeRequest,
    arrival: &Arrival,
) -> Result<(Vec<Event>, Usage), ApiError> {
    let around = match request.add_special_tokens {
        true => Around::AsTokenizer,
        false => Around::Nothing,
    };
    let mut reader = Reader {
        app,
        plugins,
        model: &request.model,
        around,
        num_samples: 0,
        arrival,
        template: None,
    };
    let mut events = Vec::with_capacity(request.inputs.len());
    let mut usage = Usage {
        prompt_tokens: 0,
        completion_tokens: 0,
        cached_tokens: 0,
        reasoning_tokens: 0,
    };
    for (index, input) in request.inputs.iter().enumerate() {
        let prompt = reader.read(input).await?;
        let vocab_len = app.engine.limits().vocab_len;
        if let Some(id) = prompt.tokens.iter().find(|&&id| id as usize >= vocab_len) {
            let message = format!("token id {id} is outside the vocabulary of {vocab_len}");
            return Err(invalid("tokens", message));
        }
        usage.prompt_tokens += prompt.tokens.len() as u32;
        let report = prompt::report(app, index, prompt.text, &prompt.tokens);
        events.push(Event::Prompt(report));
    }
    Ok((events, usage))
}
