//! One request in one instance, from its start to its end.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{WasiBody, WasiHttpView, p3};

use super::{Failure, FunctionGuest, Generation, Handler, Inner, Model, Visit};
use crate::bindings::inference::Embeddings;
use crate::bindings::shaping::Caller;
use crate::bindings::types::{ApiError, EmbeddingRequest, InferenceRequest};
use crate::error::{Phase, PluginError};
use crate::instance::{Call, new_store};
use crate::untrusted;

/// The head of the response, or the word of WASI's that the guest gave in its place.
pub(super) type Head = Result<http::Response<WasiBody>, String>;

/// Runs the guest to its end. Whatever goes wrong is in `failure` before the body that hangs on it ends.
pub(super) async fn run(
    function: Arc<Inner>,
    request: http::Request<WasiBody>,
    visit: Visit,
    head: oneshot::Sender<Head>,
    failure: Failure,
) {
    let Visit {
        caller,
        model,
        place,
    } = visit;
    let plugin = &function.plugin;
    let mut store = new_store(plugin, FunctionGuest::new(plugin, caller, model));
    let call = Call::new(Phase::Handle, plugin);
    let result = call
        .bounded(function.handler.answer(&mut store, request, head))
        .await;
    store.data_mut().log_output();
    if let Err(error) = call.end(plugin, result) {
        store.data_mut().log_failure(&error);
        let _ = failure.set(error);
    }
    drop(store);
    drop(place);
}

/// Starts an instance and drops it, to see that it starts.
pub(super) async fn try_out(function: &Inner) -> Result<(), PluginError> {
    let plugin = &function.plugin;
    let nobody = Caller {
        request_id: String::new(),
        path: String::new(),
        key_name: None,
    };
    let mut store = new_store(
        plugin,
        FunctionGuest::new(plugin, nobody, Arc::new(NoModel)),
    );
    let call = Call::new(Phase::Start, plugin);
    let started = async {
        match &function.handler {
            Handler::P2(pre) => pre.instantiate_async(&mut store).await.map(drop),
            Handler::P3(pre) => pre.instantiate_async(&mut store).await.map(drop),
        }
    };
    let result = call.bounded(started).await;
    call.end(plugin, result)
}

impl Handler {
    /// Has a fresh instance answer the request; done when the guest is.
    async fn answer(
        &self,
        store: &mut Store<FunctionGuest>,
        request: http::Request<WasiBody>,
        head: oneshot::Sender<Head>,
    ) -> wasmtime::Result<()> {
        match self {
            Handler::P2(pre) => {
                let guest = pre.instantiate_async(&mut *store).await?;
                let mut http = store.data_mut().http();
                let request = http.new_incoming_request(Scheme::Http, request)?;
                let answer = http.new_response_outparam_from_callback(move |answer| {
                    // Nobody may be there any more to hear it.
                    let _ = head.send(answer.map_err(|code| format!("{code:?}")));
                })?;
                guest
                    .wasi_http_incoming_handler()
                    .call_handle(&mut *store, request, answer)
                    .await?;
                store.data_mut().check_finished()
            }
            Handler::P3(pre) => {
                let guest = pre.instantiate_async(&mut *store).await?;
                let hooks = store.data_mut().http().hooks;
                let (request, received) = p3::Request::from_http(hooks, request);
                store
                    .run_concurrent(async move |accessor| {
                        let answer = guest.handle(accessor, request).await?;
                        let response = match answer {
                            Ok(response) => response,
                            Err(code) => {
                                let _ = head.send(Err(format!("{code:?}")));
                                return Ok(());
                            }
                        };
                        let response =
                            accessor.with(|mut store| response.into_http(&mut store, received))?;
                        // The guest's tasks write the body for as long as this future is polled.
                        let (reader, read) = oneshot::channel::<()>();
                        let watch = move |frame| {
                            let _ = &reader;
                            frame
                        };
                        let response = response.map(|body| body.map_frame(watch).boxed_unsync());
                        let _ = head.send(Ok(response));
                        let _ = read.await;
                        Ok(())
                    })
                    .await?
            }
        }
    }
}

/// Stands in for the model while an instance is only tried out.
struct NoModel;

impl Model for NoModel {
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn generate(
        &self,
        _: InferenceRequest,
        _: Caller,
    ) -> BoxFuture<'_, Result<Box<dyn Generation>, ApiError>> {
        Box::pin(std::future::ready(Err(not_yet())))
    }

    fn embed(&self, _: EmbeddingRequest, _: Caller) -> BoxFuture<'_, Result<Embeddings, ApiError>> {
        Box::pin(std::future::ready(Err(not_yet())))
    }
}

fn not_yet() -> ApiError {
    untrusted::refusal("a function cannot call the model before it serves".into())
}
