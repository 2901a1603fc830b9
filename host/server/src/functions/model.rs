//! The model as functions call it: the same path as a client's request, from the shapers on.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use http::StatusCode;
use sandbox::{ApiError, Caller, EmbeddingRequest, Embeddings, Event, InferenceRequest, Usage};

use crate::{
    app::App,
    embed,
    error::{coded, refusal},
    generating::Generating,
    pipeline::{self, Arrival},
    trace,
};

/// The model, for the function that answers one request.
pub(super) struct Model {
    pub(super) app: Arc<App>,
    pub(super) arrival: Arrival,
}

impl sandbox::Model for Model {
    fn names(&self) -> Vec<String> {
        self.app.models.iter().map(|card| card.id.clone()).collect()
    }

    fn generate(
        &self,
        request: InferenceRequest,
        caller: Caller,
    ) -> BoxFuture<'_, Result<Box<dyn sandbox::Generation>, ApiError>> {
        async move {
            self.check_name(&request.model)?;
            let plugins = self.app.plugins.current();
            let plugins = &plugins.plugins;
            let arrival = Arrival {
                span: trace::generate(&self.arrival.span),
                ..self.arrival.clone()
            };
            let generating =
                pipeline::start(&self.app, plugins, request, &caller, &arrival).await?;
            let usage = generating.usage();
            let generation: Box<dyn sandbox::Generation> = Box::new(Generation {
                generating: Some(generating),
                usage,
            });
            Ok(generation)
        }
        .boxed()
    }

    fn embed(
        &self,
        request: EmbeddingRequest,
        _: Caller,
    ) -> BoxFuture<'_, Result<Embeddings, ApiError>> {
        async move {
            self.check_name(&request.model)?;
            let plugins = self.app.plugins.current();
            let embedded = embed::run(&self.app, &plugins.plugins, &request, &self.arrival);
            let (events, usage) = embedded.await?;
            let vector = |event| match event {
                Event::Embedding(embedding) => Some(embedding.vector),
                _ => None,
            };
            Ok(Embeddings {
                vectors: events.into_iter().filter_map(vector).collect(),
                usage,
            })
        }
        .boxed()
    }
}

impl Model {
    /// For clients the router does this.
    fn check_name(&self, name: &str) -> Result<(), ApiError> {
        let models = &self.app.models;
        if models.iter().any(|card| card.id == name) {
            return Ok(());
        }
        let served: Vec<&str> = models.iter().map(|card| card.id.as_str()).collect();
        let message = format!(
            "there is no model `{name}` here; served are {}",
            served.join(", ")
        );
        let error = refusal(StatusCode::NOT_FOUND, message);
        Err(coded(
            "model_not_found",
            ApiError {
                param: Some("model".into()),
                ..error
            },
        ))
    }
}

/// Ends for good with its last event or its first error, which gives the engine's places back at once.
struct Generation {
    generating: Option<Generating>,
    usage: Usage,
}

impl sandbox::Generation for Generation {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Event>, ApiError>> {
        async move {
            let Some(generating) = &mut self.generating else {
                return Ok(Vec::new());
            };
            let events = generating.next().await;
            self.usage = generating.usage();
            if !matches!(&events, Ok(events) if !events.is_empty()) {
                self.generating = None;
            }
            events
        }
        .boxed()
    }

    fn usage(&self) -> Usage {
        self.usage
    }
}
