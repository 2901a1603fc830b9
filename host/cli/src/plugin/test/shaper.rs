//! Shapers: a request and who asks, to the request as it is to be run.

use sandbox::{Loader, Phase, PluginError, PluginSpec, Shaper};
use serde::Deserialize;
use serde_json::json;

use super::{
    records::{ApiError, InferenceRequest, Twin, snapshot},
    subject::{Seen, Subject, Torture},
    timings::Timings,
    torture,
};

/// `input.json` of a shaper.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Input {
    pub(super) request: InferenceRequest,
    pub(super) caller: Caller,
}

/// Who asks.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Caller {
    pub(super) request_id: String,
    pub(super) path: String,
    pub(super) key_name: Option<String>,
}

impl Default for Caller {
    fn default() -> Self {
        Caller {
            request_id: "case".into(),
            path: "/v1/chat/completions".into(),
            key_name: None,
        }
    }
}

impl From<Caller> for sandbox::Caller {
    fn from(caller: Caller) -> Self {
        sandbox::Caller {
            request_id: caller.request_id,
            path: caller.path,
            key_name: caller.key_name,
        }
    }
}

impl Subject for Shaper {
    type Input = Input;

    async fn load(loader: &Loader, spec: PluginSpec, wasm: Vec<u8>) -> Result<Self, PluginError> {
        loader.load_shaper(spec, wasm).await
    }

    async fn call(&self, input: Input, timings: &mut Timings) -> Result<Seen, PluginError> {
        let request = input.request.into_host();
        let caller = input.caller.into();
        let shaped = timings.time(Phase::Shape, self.shape(&request, &caller));
        Ok(match shaped.await? {
            Ok(shaped) => {
                let summary = if shaped == request {
                    "unchanged"
                } else {
                    "changed"
                };
                Seen {
                    summary: summary.into(),
                    snapshot: json!({"shaped": snapshot(&InferenceRequest::of(shaped))}),
                }
            }
            Err(refusal) => refused(refusal),
        })
    }

    fn torture(&self, _: &[Input]) -> Vec<Torture<Input>> {
        torture::shaper::inputs()
    }
}

/// A refusal in the plugin's own words.
pub(super) fn refused(refusal: sandbox::ApiError) -> Seen {
    Seen {
        summary: format!("refused with {}", refusal.status),
        snapshot: json!({"refused": snapshot(&ApiError::of(refusal))}),
    }
}
