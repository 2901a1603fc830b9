//! `GET /v1/models` and `GET /v1/models/{id}`.

use plugin_sdk::{ApiError, ModelCard, Response};
use serde::Serialize;

use crate::{answer::json, error};

#[derive(Serialize)]
struct ModelList<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

/// OpenAI's four keys, then the two that vLLM adds: its benchmark client fails without `root`.
#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    root: &'a str,
    max_model_len: u32,
}

impl<'a> From<&'a ModelCard> for Model<'a> {
    fn from(card: &'a ModelCard) -> Self {
        Model {
            id: &card.id,
            object: "model",
            created: card.created,
            owned_by: "host",
            root: &card.root,
            max_model_len: card.max_model_len,
        }
    }
}

/// All models.
pub(crate) fn list(cards: &[ModelCard]) -> Response {
    let data = cards.iter().map(Model::from).collect();
    Response::json(
        200,
        json(&ModelList {
            object: "list",
            data,
        }),
    )
}

/// One model, whose id may contain slashes.
pub(crate) fn find(cards: &[ModelCard], id: &str) -> Result<Response, ApiError> {
    let card = served(cards, id)?;
    Ok(Response::json(200, json(&Model::from(card))))
}

/// The card of the model that a client asks for.
pub(crate) fn served<'a>(cards: &'a [ModelCard], id: &str) -> Result<&'a ModelCard, ApiError> {
    let card = cards.iter().find(|card| card.id == id);
    card.ok_or_else(|| error::model_not_found(id, cards.iter().map(|card| &card.id)))
}
