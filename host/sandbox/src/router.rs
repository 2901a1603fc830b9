//! Calls of a router: an HTTP request in, a job for the engine out, and the reply's bytes.

use std::sync::Arc;

use wasmtime::component::{InstancePre, ResourceAny};

use crate::bindings::router::{Router as Bindings, RouterIndices};
use crate::bindings::routing::{self, Request, Response, Route, ServerInfo, Task};
use crate::bindings::types::{ApiError, Event, Header, Usage};
use crate::error::{Phase, PluginError};
use crate::guest::Guest;
use crate::instance::Instance;
use crate::plugin::{Loaded, PluginInfo};
use crate::untrusted;

/// A loaded plugin that speaks a client's protocol. Cheap to clone.
#[derive(Clone)]
pub struct Router(Arc<Inner>);

struct Inner {
    pre: InstancePre<Guest>,
    indices: RouterIndices,
    plugin: Arc<Loaded>,
    routes: Vec<Route>,
}

/// What a request comes to.
pub enum Outcome {
    /// Answered or refused at once: status 200 to 599, headers checked.
    Respond(Response),
    /// To be done by the host.
    Run(Box<Job>),
}

/// Something to do, and who encodes its answer.
pub struct Job {
    /// What to do, its ranges checked.
    pub task: Task,
    /// Who turns what happens into the bytes that the client reads.
    pub reply: Reply,
}

/// Encodes the answer to one request; holds the router's instance until it is dropped.
///
/// Call [`headers`](Reply::headers) once, [`push`](Reply::push) any number of times, then [`finish`](Reply::finish) or
/// [`fail`](Reply::fail). After an error every further call fails with [`Fault::Unusable`](crate::Fault::Unusable).
pub struct Reply {
    instance: Instance<Bindings>,
    reply: ResourceAny,
}

impl Router {
    /// Asks an instance for its routes, which shows that it runs.
    pub(crate) async fn new(
        pre: InstancePre<Guest>,
        plugin: Arc<Loaded>,
    ) -> Result<Router, PluginError> {
        let indices = RouterIndices::new(&pre).map_err(|e| plugin.misfit(&e))?;
        let mut inner = Inner {
            pre,
            indices,
            plugin,
            routes: Vec::new(),
        };
        let mut instance = inner.start("").await?;
        let call = instance.begin(Phase::Routes)?;
        let guest = instance.bindings.lm_plugin_routing();
        let result = call.bounded(guest.call_routes(&mut instance.store)).await;
        let routes = untrusted::routes(instance.end(call, result)?);
        inner.routes = routes.map_err(|what| inner.plugin.breach(Phase::Routes, what))?;
        Ok(Router(Arc::new(inner)))
    }

    /// What is known of the plugin.
    pub fn info(&self) -> &PluginInfo {
        &self.0.plugin.info
    }

    /// The paths that it answers, as it said when it was loaded.
    pub fn routes(&self) -> &[Route] {
        &self.0.routes
    }

    /// Has a fresh instance read a request. For a job the instance lives on in its reply.
    pub async fn parse(
        &self,
        request: &Request,
        server: &ServerInfo,
    ) -> Result<Outcome, PluginError> {
        let plugin = &self.0.plugin;
        let mut instance = self.0.start(&server.request_id).await?;
        let call = instance.begin(Phase::Parse)?;
        let guest = instance.bindings.lm_plugin_routing();
        let result = call
            .bounded(guest.call_parse(&mut instance.store, request, server))
            .await;
        let breach = |what| plugin.breach(Phase::Parse, what);
        match instance.end(call, result)? {
            routing::Outcome::Respond(response) => {
                let response = untrusted::response(response, plugin.limits()).map_err(breach)?;
                Ok(Outcome::Respond(response))
            }
            routing::Outcome::Run(job) => {
                let task = untrusted::task(job.task).map_err(breach)?;
                Ok(Outcome::Run(Box::new(Job {
                    task,
                    reply: Reply {
                        instance,
                        reply: job.reply,
                    },
                })))
            }
        }
    }
}

impl Inner {
    async fn start(&self, request_id: &str) -> Result<Instance<Bindings>, PluginError> {
        let bind = |store: &mut _, instance: &_| self.indices.load(store, instance);
        Instance::start(&self.pre, &self.plugin, request_id, bind).await
    }
}

impl Reply {
    /// The headers of a successful answer: checked, without those that the host writes itself.
    pub async fn headers(&mut self) -> Result<Vec<Header>, PluginError> {
        let call = self.instance.begin(Phase::ReplyHeaders)?;
        let guest = self.instance.bindings.lm_plugin_routing().reply();
        let result = call
            .bounded(guest.call_headers(&mut self.instance.store, self.reply))
            .await;
        let headers = self.instance.end(call, result)?;
        let plugin = &self.instance.plugin;
        untrusted::headers(headers, plugin.limits())
            .map_err(|what| plugin.breach(Phase::ReplyHeaders, what))
    }

    /// The bytes for events, in the order in which they happened; may be none.
    pub async fn push(&mut self, events: &[Event]) -> Result<Vec<u8>, PluginError> {
        let call = self.instance.begin(Phase::ReplyPush)?;
        let guest = self.instance.bindings.lm_plugin_routing().reply();
        let result = call
            .bounded(guest.call_push(&mut self.instance.store, self.reply, events))
            .await;
        self.instance.end(call, result)
    }

    /// The last bytes, after everything that was asked for is done.
    pub async fn finish(mut self, usage: Usage) -> Result<Vec<u8>, PluginError> {
        let call = self.instance.begin(Phase::ReplyFinish)?;
        let guest = self.instance.bindings.lm_plugin_routing().reply();
        let result = call
            .bounded(guest.call_finish(&mut self.instance.store, self.reply, usage))
            .await;
        self.instance.end(call, result)
    }

    /// The last bytes of a request that failed: the body of an error response if nothing was returned so far, else what
    /// tells a client in the middle of a stream.
    pub async fn fail(mut self, error: &ApiError) -> Result<Vec<u8>, PluginError> {
        let call = self.instance.begin(Phase::ReplyFail)?;
        let guest = self.instance.bindings.lm_plugin_routing().reply();
        let result = call
            .bounded(guest.call_fail(&mut self.instance.store, self.reply, error))
            .await;
        self.instance.end(call, result)
    }
}
