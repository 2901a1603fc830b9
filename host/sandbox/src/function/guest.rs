//! The data of a function's store: quotas, an empty WASI, and the model.

use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::body::HostOutgoingBody;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::outgoing::Outgoing;
use super::output::Output;
use super::{Model, Running};
use crate::bindings::inference::Embeddings;
use crate::bindings::shaping::Caller;
use crate::bindings::types::{ApiError, EmbeddingRequest, Event, InferenceRequest, Usage};
use crate::bindings::{clock, config, inference, key_value, log, random};
use crate::error::PluginError;
use crate::guest::{Guest, LimitHit};
use crate::logs::LogLevel;
use crate::plugin::Loaded;
use crate::untrusted;

/// Generations that one instance can have at once: each holds a sequence of the engine.
const MAX_GENERATIONS: usize = 16;

/// The data of one function instance's store.
pub(crate) struct FunctionGuest {
    guest: Guest,
    /// No files, no environment, no sockets; clocks and random bytes only as far as imports were granted.
    wasi: WasiCtx,
    stdout: Output,
    stderr: Output,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    table: ResourceTable,
    caller: Caller,
    model: Arc<dyn Model>,
    num_generations: usize,
}

impl FunctionGuest {
    pub(super) fn new(
        plugin: &Arc<Loaded>,
        caller: Caller,
        model: Arc<dyn Model>,
    ) -> FunctionGuest {
        let (stdout, stderr) = (Output::new(LogLevel::Info), Output::new(LogLevel::Warn));
        let wasi = WasiCtx::builder()
            .stdout(stdout.clone())
            .stderr(stderr.clone())
            .build();
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(plugin.limits().max_header_bytes);
        FunctionGuest {
            guest: Guest::new(plugin.clone(), &caller.request_id),
            wasi,
            stdout,
            stderr,
            http,
            outgoing: Outgoing(plugin.clone()),
            table: ResourceTable::new(),
            caller,
            model,
            num_generations: 0,
        }
    }

    /// Writes what the guest printed to its log.
    pub(super) fn log_output(&mut self) {
        for output in [&self.stdout, &self.stderr] {
            let (level, lines) = output.take();
            lines.iter().for_each(|line| self.guest.log(level, line));
        }
    }

    /// Finds bodies that were begun and are neither finished nor dropped. The runtime would end those as if they were whole.
    pub(super) fn check_finished(&mut self) -> wasmtime::Result<()> {
        let mut resources = self.table.iter_mut();
        match resources.any(|resource| resource.is::<HostOutgoingBody>()) {
            true => Err(LimitHit::Unfinished.into()),
            false => Ok(()),
        }
    }

    /// Tells the function's author what went wrong, and where.
    pub(super) fn log_failure(&mut self, error: &PluginError) {
        self.guest.log(LogLevel::Error, &error.to_string());
        for line in error.backtrace.iter().flat_map(|calls| calls.lines()) {
            self.guest.log(LogLevel::Error, line);
        }
    }
}

impl AsMut<Guest> for FunctionGuest {
    fn as_mut(&mut self) -> &mut Guest {
        &mut self.guest
    }
}

impl WasiView for FunctionGuest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for FunctionGuest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.outgoing,
        }
    }
}

impl inference::Host for FunctionGuest {
    async fn models(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.model.names())
    }

    async fn generate(
        &mut self,
        request: InferenceRequest,
    ) -> wasmtime::Result<Result<Resource<Running>, ApiError>> {
        if self.num_generations == MAX_GENERATIONS {
            return Ok(Err(untrusted::refusal(format!(
                "a function runs at most {MAX_GENERATIONS} generations at once: drop one first"
            ))));
        }
        let request = match untrusted::request(request) {
            Ok(request) => request,
            Err(what) => return Ok(Err(untrusted::refusal(what))),
        };
        match self.model.generate(request, self.caller.clone()).await {
            Ok(generation) => {
                self.num_generations += 1;
                Ok(Ok(self.table.push(generation)?))
            }
            Err(refused) => Ok(Err(refused)),
        }
    }

    async fn embed(
        &mut self,
        request: EmbeddingRequest,
    ) -> wasmtime::Result<Result<Embeddings, ApiError>> {
        match untrusted::embedding_request(request) {
            Ok(request) => Ok(self.model.embed(request, self.caller.clone()).await),
            Err(what) => Ok(Err(untrusted::refusal(what))),
        }
    }
}

impl inference::HostGeneration for FunctionGuest {
    async fn next(
        &mut self,
        generation: Resource<Running>,
    ) -> wasmtime::Result<Result<Vec<Event>, ApiError>> {
        Ok(self.table.get_mut(&generation)?.next().await)
    }

    async fn usage(&mut self, generation: Resource<Running>) -> wasmtime::Result<Usage> {
        Ok(self.table.get(&generation)?.usage())
    }

    async fn drop(&mut self, generation: Resource<Running>) -> wasmtime::Result<()> {
        self.table.delete(generation)?;
        self.num_generations -= 1;
        Ok(())
    }
}

/// Everything that a function can be granted. What one may import is checked by name before it is linked; sockets are
/// in here and can never be imported.
pub(crate) fn add_to_linker(linker: &mut Linker<FunctionGuest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    wasmtime_wasi::p3::add_to_linker(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    type Own = HasSelf<Guest>;
    log::add_to_linker::<_, Own>(linker, AsMut::as_mut)?;
    config::add_to_linker::<_, Own>(linker, AsMut::as_mut)?;
    clock::add_to_linker::<_, Own>(linker, AsMut::as_mut)?;
    random::add_to_linker::<_, Own>(linker, AsMut::as_mut)?;
    key_value::add_to_linker::<_, Own>(linker, AsMut::as_mut)?;
    inference::add_to_linker::<_, HasSelf<FunctionGuest>>(linker, |guest| guest)
}
