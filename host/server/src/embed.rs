//! Inputs become vectors.

use sandbox::{ApiError, Caller, EmbeddingRequest, Event, PluginSet, Usage};

use crate::{app::App, error::refusal, pipeline::Arrival};

pub(crate) async fn run(
    _: &App,
    _: &PluginSet,
    _: &EmbeddingRequest,
    _: &Caller,
    _: &Arrival,
) -> Result<(Vec<Event>, Usage), ApiError> {
    Err(refusal(http::StatusCode::NOT_IMPLEMENTED, "later"))
}
