//! Functions: an HTTP request and what the model would say, to an HTTP response.

use std::sync::Arc;

use bytes::Bytes as Chunk;
use http_body_util::{BodyExt, Full};
use sandbox::{
    Function, FunctionBody, FunctionFailed, Loader, Phase, PluginError, PluginSpec, Visit,
};
use serde::Deserialize;
use serde_json::json;

use super::{
    model::MockModel,
    records::{ApiError, Bytes, Header, Twin, snapshot},
    shaper::Caller,
    subject::{Seen, Subject, Torture},
    timings::Timings,
    torture,
};

/// `input.json` of a function.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Input {
    pub(super) method: String,
    /// With the query, if there is one.
    pub(super) path: String,
    pub(super) headers: Vec<Header>,
    pub(super) body: Bytes,
    /// What the model writes, piece by piece.
    pub(super) answer: Vec<String>,
    /// How the model refuses, if it does.
    pub(super) refusal: Option<ApiError>,
}

impl Default for Input {
    fn default() -> Self {
        Input {
            method: "POST".into(),
            path: "/".into(),
            headers: Vec::new(),
            body: Bytes::default(),
            answer: vec!["It ".into(), "rains.".into()],
            refusal: None,
        }
    }
}

impl Subject for Function {
    type Input = Input;

    async fn load(loader: &Loader, spec: PluginSpec, wasm: Vec<u8>) -> Result<Self, PluginError> {
        loader.load_function(spec, wasm).await
    }

    async fn call(&self, input: Input, timings: &mut Timings) -> Result<Seen, PluginError> {
        let model = Arc::new(MockModel::new(input.answer, input.refusal));
        let visit = Visit {
            caller: Caller {
                path: input.path.clone(),
                ..Caller::default()
            }
            .into(),
            model: model.clone(),
            place: Box::new(()),
        };
        let request = match request(&input.method, &input.path, input.headers, input.body) {
            Ok(request) => request,
            // The server would never have come to call the function.
            Err(error) => return Ok(unsendable(&error)),
        };
        timings
            .time(Phase::Handle, async {
                let (head, body) = self.handle(request, visit).await?.into_parts();
                let (body, broken_off) = read(body).await?;
                Ok(seen(&head, body, broken_off, &model))
            })
            .await
    }

    fn torture(&self, _: &[Input]) -> Vec<Torture<Input>> {
        torture::function::inputs()
    }
}

fn request(
    method: &str,
    path: &str,
    headers: Vec<Header>,
    body: Bytes,
) -> Result<http::Request<Full<Chunk>>, http::Error> {
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("http://127.0.0.1{path}"));
    for (name, value) in headers {
        request = request.header(name, value.into_host());
    }
    request.body(Full::new(body.into_host().into()))
}

fn unsendable(error: &http::Error) -> Seen {
    Seen {
        summary: "no HTTP request".into(),
        snapshot: json!({"unsendable": error.to_string()}),
    }
}

/// The whole body, and why it broke off if the function itself had it do so.
async fn read(mut body: FunctionBody) -> Result<(Vec<u8>, Option<String>), PluginError> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                if let Some(data) = frame.data_ref() {
                    read.extend_from_slice(data);
                }
            }
            Err(FunctionFailed::Plugin(error)) => return Err(error),
            Err(broken_off @ FunctionFailed::BrokenOff(_)) => {
                return Ok((read, Some(broken_off.to_string())));
            }
        }
    }
    Ok((read, None))
}

fn seen(
    head: &http::response::Parts,
    body: Vec<u8>,
    broken_off: Option<String>,
    model: &MockModel,
) -> Seen {
    let headers: Vec<Header> = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), Bytes::of(value.as_bytes().to_vec())))
        .collect();
    let end = if broken_off.is_some() {
        ", broken off"
    } else {
        ""
    };
    Seen {
        summary: format!("answered with {}{end}", head.status.as_u16()),
        snapshot: snapshot(&json!({
            "status": head.status.as_u16(),
            "headers": snapshot(&headers),
            "body": snapshot(&Bytes::of(body)),
            "broken_off": broken_off,
            "asked": snapshot(&model.asked()),
        })),
    }
}
