//! Inputs become vectors of length 1.

use engine::{EmbeddingRequest, GenerationFailed, Pooling, SubmitError};
use futures_util::stream::{FuturesUnordered, StreamExt};
use sandbox::{ApiError, Embedding, Event, PluginSet, Usage};

use crate::{
    app::App,
    generating,
    pipeline::{self, Arrival},
    prompt::{self, Around, Reader},
};

/// The vectors of a request in the order of its inputs, and the tokens that they took. At most half of the engine's places are
/// used at a time, however many inputs there are.
pub(crate) async fn run(
    app: &App,
    plugins: &PluginSet,
    request: &sandbox::EmbeddingRequest,
    arrival: &Arrival,
) -> Result<(Vec<Event>, Usage), ApiError> {
    arrival.admit_generation(&request.model)?;
    let most = (app.engine.max_sequences() / 2).max(1);
    let mut reader = Reader {
        app,
        plugins,
        model: &request.model,
        around: Around::AsTokenizer,
        num_samples: 0,
        arrival,
        template: None,
    };
    let mut running = FuturesUnordered::new();
    let mut vectors = vec![Vec::new(); request.inputs.len()];
    let mut done = |(index, vector): (usize, Result<Vec<f32>, GenerationFailed>)| {
        vectors[index] = unit(vector.map_err(|failure| generating::failed(&failure))?);
        Ok::<_, ApiError>(())
    };
    let mut num_tokens = 0;
    for (index, input) in request.inputs.iter().enumerate() {
        let prompt = reader.read(input).await?;
        num_tokens += prompt.tokens.len();
        arrival.charge_tokens(prompt.tokens.len());
        let asked = EmbeddingRequest {
            tokens: prompt.tokens,
            pooling: match request.pooling {
                Some(sandbox::Pooling::Last) | None => Pooling::Last,
                Some(sandbox::Pooling::Mean) => Pooling::Mean,
            },
            priority: request.priority,
            deadline: pipeline::deadline(app, arrival),
            scope: prompt::scope(request.cache_salt.clone()),
        };
        let embedding = loop {
            if running.len() == most
                && let Some(one) = running.next().await
            {
                done(one)?;
            }
            match app.engine.embed(asked.clone()) {
                Ok(embedding) => break embedding,
                // A place that this request has is free in a moment.
                Err(SubmitError::Overloaded { .. }) if !running.is_empty() => {
                    if let Some(one) = running.next().await {
                        done(one)?;
                    }
                }
                Err(error) => return Err(prompt::refused(&error, prompt.param)),
            }
        };
        running.push(async move { (index, embedding.await) });
    }
    while let Some(one) = running.next().await {
        done(one)?;
    }
    app.metrics.choices.prompt(num_tokens, 0);
    let event = |(input, vector)| Event::Embedding(Embedding { input, vector });
    let usage = Usage {
        prompt_tokens: num_tokens as u32,
        completion_tokens: 0,
        cached_tokens: 0,
        reasoning_tokens: 0,
    };
    Ok(((0..).zip(vectors).map(event).collect(), usage))
}

/// Brings a vector to length 1; one of length 0 stays.
fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
    vector
}
