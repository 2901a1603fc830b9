//! Calls of a shaper: a request in, the same, a changed one or a refusal out.

use std::sync::Arc;

use artifact::ConfigError;
use serde_json::{Map, Value};
use wasmtime::component::InstancePre;

use crate::bindings::shaper::{Shaper as Bindings, ShaperIndices};
use crate::bindings::shaping::Caller;
use crate::bindings::types::{ApiError, InferenceRequest};
use crate::error::{Phase, PluginError};
use crate::guest::Guest;
use crate::instance::Instance;
use crate::plugin::{Loaded, PluginInfo};
use crate::untrusted;

/// A loaded plugin that changes or refuses requests. Cheap to clone.
#[derive(Clone)]
pub struct Shaper(Arc<Inner>);

struct Inner {
    pre: InstancePre<Guest>,
    indices: ShaperIndices,
    plugin: Arc<Loaded>,
}

impl Shaper {
    /// Starts and drops an instance, which shows that it runs.
    pub(crate) async fn new(
        pre: InstancePre<Guest>,
        plugin: Arc<Loaded>,
    ) -> Result<Shaper, PluginError> {
        let indices = ShaperIndices::new(&pre).map_err(|e| plugin.misfit(&e))?;
        let inner = Inner {
            pre,
            indices,
            plugin,
        };
        inner.start("").await?;
        Ok(Shaper(Arc::new(inner)))
    }

    /// What is known of the plugin.
    pub fn info(&self) -> &PluginInfo {
        &self.0.plugin.info
    }

    /// The same plugin with these settings instead of its own of the same names. Fails if its schema does not take what comes of
    /// it. Nothing is compiled anew: it costs about as much as writing the settings as JSON.
    pub fn with_settings(&self, settings: &Map<String, Value>) -> Result<Shaper, ConfigError> {
        let Inner {
            pre,
            indices,
            plugin,
        } = &*self.0;
        Ok(Shaper(Arc::new(Inner {
            pre: pre.clone(),
            indices: indices.clone(),
            plugin: Arc::new(plugin.with_settings(settings)?),
        })))
    }

    /// Has a fresh instance shape a request. `Ok(Err(_))` is the plugin's refusal, to be told to the client.
    pub async fn shape(
        &self,
        request: &InferenceRequest,
        caller: &Caller,
    ) -> Result<Result<InferenceRequest, ApiError>, PluginError> {
        let mut instance = self.0.start(&caller.request_id).await?;
        let call = instance.begin(Phase::Shape)?;
        let guest = instance.bindings.lm_plugin_shaping();
        let result = call
            .bounded(guest.call_shape(&mut instance.store, request, caller))
            .await;
        match instance.end(call, result)? {
            Ok(shaped) => {
                let shaped = untrusted::request(shaped);
                shaped
                    .map(Ok)
                    .map_err(|what| self.0.plugin.breach(Phase::Shape, what))
            }
            Err(refusal) => Ok(Err(untrusted::api_error(refusal))),
        }
    }
}

impl Inner {
    async fn start(&self, request_id: &str) -> Result<Instance<Bindings>, PluginError> {
        let bind = |store: &mut _, instance: &_| self.indices.load(store, instance);
        Instance::start(&self.pre, &self.plugin, request_id, bind).await
    }
}
