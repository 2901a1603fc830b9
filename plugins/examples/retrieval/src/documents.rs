//! The documents, as they lie in the key-value store: `text/ID` has a document's passages, `index/ID` what is searched.
//!
//! The index is one value per document and not one per word: each write waits for the disk, and a document has hundreds of
//! words. A question reads the index of all documents, which is fit for some thousand pages.

use plugin_sdk::function::{Request, Responder};
use plugin_sdk::{ApiError, key_value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::passages::passages;
use crate::ranking::{Hit, Indexed, Search};

/// Most bytes of a document, so that its index fits into one value.
const MAX_TEXT_LEN: usize = 256 << 10;

/// Most bytes of a request for one: JSON may write a character in six.
const MAX_BODY_LEN: usize = 2 << 20;

const MAX_ID_LEN: usize = 128;

const TEXT: &str = "text/";
const INDEX: &str = "index/";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    id: String,
    text: String,
}

#[derive(Serialize)]
struct Listed {
    id: String,
    passages: usize,
}

#[derive(Serialize)]
struct List {
    documents: Vec<Listed>,
}

/// `POST documents`: keeps a document, in place of one with the same id.
pub(crate) fn add(request: &mut Request, response: Responder) -> Result<(), ApiError> {
    let Document { id, text } = request.read_json(MAX_BODY_LEN)?;
    check_id(&id)?;
    if text.len() > MAX_TEXT_LEN {
        let message = format!(
            "`text` has {} bytes, and a document may have {MAX_TEXT_LEN}: give it in several documents",
            text.len()
        );
        return Err(ApiError::invalid("text", message));
    }
    let passages = passages(&text);
    let index: Vec<Indexed> = passages
        .iter()
        .map(|passage| Indexed::new(passage))
        .collect();
    if index.iter().all(Indexed::is_empty) {
        return Err(ApiError::invalid(
            "text",
            "`text` has no words, so nothing could be found in it",
        ));
    }
    let is_new = key_value::get(&format!("{INDEX}{id}"))?.is_none();
    // The index last: what it points to must be there.
    set(&format!("{TEXT}{id}"), &passages)?;
    set(&format!("{INDEX}{id}"), &index)?;
    let status = if is_new { 201 } else { 200 };
    response.send_json(
        status,
        &Listed {
            id,
            passages: passages.len(),
        },
    )
}

/// `GET documents`: what there is.
pub(crate) fn list(response: Responder) -> Result<(), ApiError> {
    let mut documents = Vec::new();
    for_each(|id, index| {
        documents.push(Listed {
            id: id.to_owned(),
            passages: index.len(),
        })
    })?;
    response.send_json(200, &List { documents })
}

/// `DELETE documents/ID`.
pub(crate) fn remove(id: &str, response: Responder) -> Result<(), ApiError> {
    check_id(id)?;
    // The index first, so that nothing points to a text that is gone.
    let was_there = key_value::delete(&format!("{INDEX}{id}"))?;
    key_value::delete(&format!("{TEXT}{id}"))?;
    if !was_there {
        return Err(ApiError::not_found(format!("there is no document `{id}`")));
    }
    response.send(204, Vec::new(), "")
}

/// Lets a search read all documents.
pub(crate) fn search(search: &mut Search) -> Result<(), ApiError> {
    for_each(|id, index| search.read(id, &index))
}

/// The text of a passage that was found; absent where its document has been removed or shortened since.
pub(crate) fn text_of(hit: &Hit) -> Result<Option<String>, ApiError> {
    let passages: Option<Vec<String>> = get(&format!("{TEXT}{}", hit.document))?;
    Ok(passages.and_then(|passages| passages.into_iter().nth(hit.passage)))
}

fn for_each(mut take: impl FnMut(&str, Vec<Indexed>)) -> Result<(), ApiError> {
    for key in key_value::all_keys(INDEX)? {
        // Another request may have removed it meanwhile.
        if let Some(index) = get(&key)? {
            take(&key[INDEX.len()..], index);
        }
    }
    Ok(())
}

/// Ids stand in paths, and are shown to the model.
fn check_id(id: &str) -> Result<(), ApiError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let good =
        (1..=MAX_ID_LEN).contains(&id.len()) && id.bytes().all(plain) && !id.starts_with('.');
    if good {
        return Ok(());
    }
    let message = format!(
        "`id` must have 1 to {MAX_ID_LEN} letters, digits, points, hyphens and underscores, and not begin with a point"
    );
    Err(ApiError::invalid("id", message))
}

fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, ApiError> {
    let Some(value) = key_value::get(key)? else {
        return Ok(None);
    };
    let read = serde_json::from_slice(&value);
    read.map(Some).map_err(|error| {
        ApiError::server(format!(
            "the stored `{key}` cannot be read ({error}); remove its document and add it again"
        ))
    })
}

fn set(key: &str, value: &impl Serialize) -> Result<(), ApiError> {
    let json = serde_json::to_vec(value)
        .map_err(|error| ApiError::server(format!("`{key}` cannot be written: {error}")))?;
    Ok(key_value::set(key, &json)?)
}
