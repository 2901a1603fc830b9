//! `POST /v1/embeddings`.

use base64::{Engine, prelude::BASE64_STANDARD};
use plugin_sdk::{
    ApiError, EmbeddingRequest, Event, Header, ModelCard, Outcome, Pooling, Reply, ServerInfo,
    Task, Usage,
};
use serde::Serialize;

use crate::{
    answer::{Answer, json, json_headers},
    body::{self, Object, Value},
    error::{ErrorBody, unsupported},
    generation::{Unsupported, check_hints, read_cache_salt, read_priority, refuse},
    models,
    prompts::Prompts,
};

/// The most inputs of one request, as in OpenAI's schema.
const MAX_INPUTS: usize = 2048;

/// What stands before the first vector.
const BEGINNING: &[u8] = br#"{"object":"list","data":["#;

/// What vLLM's clients may send and nothing here can honour.
const UNSUPPORTED: &[Unsupported] = &[
    Unsupported::new(
        "truncate_prompt_tokens",
        &[],
        "inputs are never cut; shorten the input",
    ),
    Unsupported::new(
        "add_special_tokens",
        &["true"],
        "send token ids as the input for full control",
    ),
    Unsupported::new("messages", &[], "send the text as `input`"),
    Unsupported::new("normalize", &["true"], "vectors always have length 1"),
];

/// Reads a request, and prepares its answer.
pub(crate) fn parse(body: &[u8], server: &ServerInfo) -> Result<Outcome<Answer>, ApiError> {
    let fields = body::parse(body)?;
    let model = fields.need("model", Value::string)?;
    let card = models::served(&server.models, &model)?;
    refuse(&fields, UNSUPPORTED)?;
    check_hints(&fields)?;
    let prompts = fields.need("input", Prompts::read)?;
    if prompts.len() > MAX_INPUTS {
        let message = format!(
            "`input` has {} texts; at most {MAX_INPUTS} are allowed.",
            prompts.len()
        );
        return Err(ApiError::invalid("input", message));
    }
    let pooling = fields.read("pooling", read_pooling)?;
    let encoding = fields
        .read("encoding_format", Encoding::read)?
        .unwrap_or(Encoding::Float);
    let dimensions = read_dimensions(&fields, card)?;
    let vectors = Vectors {
        model: model.clone(),
        encoding,
        dimensions,
        num_written: 0,
    };
    let request = EmbeddingRequest {
        pooling,
        priority: read_priority(&fields)?,
        cache_salt: fields.read("cache_salt", read_cache_salt)?,
        ..EmbeddingRequest::new(model, prompts.into_inputs())
    };
    Ok(Outcome::Run(
        Task::Embed(request),
        Answer::new(vectors, [("prompt", "input")]),
    ))
}

/// An extension of OpenAI's request: how the vectors of an input's tokens become one.
fn read_pooling(pooling: Value) -> Result<Pooling, ApiError> {
    let refusal = pooling.must_be(r#""last" or "mean""#);
    match pooling.string()?.as_str() {
        "last" => Ok(Pooling::Last),
        "mean" => Ok(Pooling::Mean),
        _ => Err(refusal),
    }
}

/// How many numbers of each vector the client wants; absent: all.
fn read_dimensions(fields: &Object, card: &ModelCard) -> Result<Option<usize>, ApiError> {
    let Some(len) = card.embedding_len else {
        return Err(unsupported("model", "it makes no embeddings"));
    };
    fields.read("dimensions", |v| {
        v.integer(1..=i64::from(len)).map(|n: u32| n as usize)
    })
}

/// How vectors are written.
#[derive(Clone, Copy)]
enum Encoding {
    Float,
    /// 32-bit floats, least byte first.
    Base64,
}

impl Encoding {
    fn read(encoding: Value) -> Result<Encoding, ApiError> {
        let refusal = encoding.must_be(r#""float" or "base64""#);
        match encoding.string()?.as_str() {
            "float" => Ok(Encoding::Float),
            "base64" => Ok(Encoding::Base64),
            _ => Err(refusal),
        }
    }

    fn write(self, vector: &[f32]) -> Vector<'_> {
        match self {
            Encoding::Float => Vector::Float(vector),
            Encoding::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                Vector::Base64(BASE64_STANDARD.encode(bytes))
            }
        }
    }
}

/// Writes the vectors as they come: all of them together may be larger than what one call can return.
struct Vectors {
    model: String,
    encoding: Encoding,
    dimensions: Option<usize>,
    num_written: usize,
}

/// What stands behind the list of vectors.
#[derive(Serialize)]
struct Rest<'a> {
    model: &'a str,
    usage: PromptUsage,
}

#[derive(Serialize)]
struct Item<'a> {
    object: &'static str,
    index: u32,
    embedding: Vector<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector<'a> {
    Float(&'a [f32]),
    Base64(String),
}

#[derive(Serialize)]
struct PromptUsage {
    prompt_tokens: u32,
    total_tokens: u32,
}

impl Reply for Vectors {
    fn headers(&self) -> Vec<Header> {
        json_headers()
    }

    fn push(&mut self, events: Vec<Event>) -> Vec<u8> {
        let mut out = Vec::new();
        for event in events {
            let Event::Embedding(embedding) = event else {
                continue;
            };
            out.extend_from_slice(match self.num_written {
                0 => BEGINNING,
                _ => b",",
            });
            self.num_written += 1;
            let vector = shortened(embedding.vector, self.dimensions);
            out.extend(json(&Item {
                object: "embedding",
                index: embedding.input,
                embedding: self.encoding.write(&vector),
            }));
        }
        out
    }

    fn finish(&mut self, usage: Usage) -> Vec<u8> {
        let mut out = match self.num_written {
            0 => BEGINNING.to_vec(),
            _ => Vec::new(),
        };
        out.extend_from_slice(b"],");
        let rest = json(&Rest {
            model: &self.model,
            usage: PromptUsage {
                prompt_tokens: usage.prompt_tokens,
                total_tokens: usage.prompt_tokens,
            },
        });
        // Without its first brace: the object has begun.
        out.extend_from_slice(&rest[1..]);
        out
    }

    fn fail(&mut self, error: ApiError) -> Vec<u8> {
        json(&ErrorBody::from(&error))
    }
}

/// The first numbers of a vector, brought back to length 1: what models trained for it (Matryoshka) mean by fewer dimensions.
fn shortened(mut vector: Vec<f32>, dimensions: Option<usize>) -> Vec<f32> {
    let Some(len) = dimensions.filter(|&len| len < vector.len()) else {
        return vector;
    };
    vector.truncate(len);
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
    vector
}
