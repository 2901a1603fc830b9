//! Calls of a function: a standard `wasi:http` handler, of WASI 0.2 or 0.3, in an instance of its own for each request.

mod body;
mod guest;
mod outgoing;
mod output;
mod run;

use std::any::Any;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use wasmtime::component::InstancePre;
use wasmtime_wasi_http::{p2, p3};

use crate::bindings::inference::Embeddings;
use crate::bindings::shaping::Caller;
use crate::bindings::types::{ApiError, EmbeddingRequest, Event, InferenceRequest, Usage};
use crate::error::{Fault, Phase, PluginError};
use crate::loader::WasiHttp;
use crate::plugin::{Loaded, PluginInfo};
pub use body::{FunctionBody, FunctionFailed};
pub(crate) use guest::{FunctionGuest, add_to_linker};

/// A loaded plugin that answers HTTP requests by itself. Cheap to clone.
#[derive(Clone)]
pub struct Function(Arc<Inner>);

pub(crate) struct Inner {
    handler: Handler,
    plugin: Arc<Loaded>,
}

/// What is instantiated for a request.
enum Handler {
    P2(p2::bindings::ProxyPre<FunctionGuest>),
    P3(p3::bindings::ServicePre<FunctionGuest>),
}

/// The model, as functions that were granted `inference` see it.
pub trait Model: Send + Sync {
    /// The served names; the first is the default.
    fn names(&self) -> Vec<String>;
    /// Starts a generation for this caller. The error is for the function, which may tell its own client.
    fn generate(
        &self,
        request: InferenceRequest,
        caller: Caller,
    ) -> BoxFuture<'_, Result<Box<dyn Generation>, ApiError>>;
    /// Turns inputs into vectors. The error is for the function.
    fn embed(
        &self,
        request: EmbeddingRequest,
        caller: Caller,
    ) -> BoxFuture<'_, Result<Embeddings, ApiError>>;
}

/// A running generation. Dropping it cancels what still runs.
pub trait Generation: Send {
    /// Waits until something has happened; empty when every choice has finished.
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Event>, ApiError>>;
    /// Tokens so far.
    fn usage(&self) -> Usage;
}

/// What a guest's `generation` stands for.
#[expect(unreachable_pub, reason = "generated bindings export it once more")]
pub type Running = Box<dyn Generation>;

/// What surrounds one request to a function.
pub struct Visit {
    /// Who asks; `path` is the route of the function.
    pub caller: Caller,
    /// Whom the function asks in turn.
    pub model: Arc<dyn Model>,
    /// Dropped when the instance is gone, which may be later than the end of the response: a place among those that may run.
    pub place: Box<dyn Any + Send>,
}

/// The failure of a request, known before the body that it ends is dropped.
type Failure = Arc<OnceLock<PluginError>>;

impl Function {
    /// Starts and drops an instance, which shows that it runs.
    pub(crate) async fn new(
        pre: InstancePre<FunctionGuest>,
        version: WasiHttp,
        plugin: Arc<Loaded>,
    ) -> Result<Function, PluginError> {
        let handler = match version {
            WasiHttp::P2 => p2::bindings::ProxyPre::new(pre).map(Handler::P2),
            WasiHttp::P3 => p3::bindings::ServicePre::new(pre).map(Handler::P3),
        };
        let handler = handler.map_err(|e| plugin.misfit(&e))?;
        let inner = Arc::new(Inner { handler, plugin });
        run::try_out(&inner).await?;
        Ok(Function(inner))
    }

    /// What is known of the plugin.
    pub fn info(&self) -> &PluginInfo {
        &self.0.plugin.info
    }

    /// Has a fresh instance answer a request, which must name its host. Returns when the head of the response is known; the body
    /// streams, and the guest waits where its reader does. Dropping this future, or the body before its end, ends the instance.
    pub async fn handle<B>(
        &self,
        request: http::Request<B>,
        visit: Visit,
    ) -> Result<http::Response<FunctionBody>, PluginError>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let request = request.map(body::incoming);
        let failure = Failure::default();
        let (head, answered) = oneshot::channel();
        let task = tokio::spawn(run::run(
            self.0.clone(),
            request,
            visit,
            head,
            failure.clone(),
        ));
        let guest = body::AbortOnDrop::new(task.abort_handle());
        let plugin = &self.0.plugin;
        match answered.await {
            Ok(Ok(response)) if !(200..600).contains(&response.status().as_u16()) => {
                let what = format!("it answered with status {}", response.status());
                Err(plugin.breach(Phase::Handle, what))
            }
            Ok(Ok(response)) => Ok(FunctionBody::new(response, guest, failure)),
            Ok(Err(code)) => {
                let what = format!("it answered with the error {code} in place of a response");
                Err(plugin.breach(Phase::Handle, what))
            }
            Err(_) => {
                // Only when it is over is it known how it ended.
                let _ = task.await;
                Err(failure.get().cloned().unwrap_or_else(|| {
                    let what = "it ended without a response".into();
                    plugin.failure(Phase::Handle, Fault::Contract(what))
                }))
            }
        }
    }
}
