//! Functions: a call by itself, a call over an open connection, and a deployment from its order to its first answer.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::Criterion;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Empty};
use reqwest::Method;
use sandbox::{
    ApiError, Caller, EmbeddingRequest, Embeddings, Function, Generation, InferenceRequest, Limits,
    Loader, Model, PluginSpec, Sandbox, Visit,
};
use serde_json::json;
use tokio::runtime::Runtime;

use super::{
    server::{self, Server},
    turns::{Goal, measure, micros, millis},
};

pub(crate) fn bench(criterion: &mut Criterion, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("functions");
    let sandbox = Sandbox::new(Limits::default(), Limits::for_functions(), None)
        .expect("the default limits fit");
    let loader = Loader::new(sandbox, Some(server::code_cache()));
    for (component, version) in [("hello", "0.2"), ("hello-p3", "0.3")] {
        let spec = PluginSpec::named(component);
        let loaded = loader.load_function(spec, server::wasm(component));
        let function = runtime.block_on(loaded).expect("it is built");
        let name = format!("WASI {version}: instance, whole answer, drop; no HTTP");
        measure(&mut group, &name, micros(60), || {
            runtime.block_on(call(&function))
        });
    }

    let server = runtime.block_on(Server::start());
    for (component, version) in [("hello", "0.2"), ("hello-p3", "0.3")] {
        runtime.block_on(async {
            let digest = server.upload(component).await;
            server.deploy(component, digest, json!({})).await;
        });
        let mut connection = Connection::open(&server, &format!("/fn/{component}/x"), "Hello.\n");
        let name = format!("WASI {version}: open connection, request to first byte");
        measure(&mut group, &name, micros(300), || connection.first_byte());
    }
    let mut connection = Connection::open(&server, "/health", "alive\n");
    let name = "no function: the same of /health";
    measure(&mut group, name, Goal::None, || connection.first_byte());

    let name = "deployment: fsync and going live, in the server's words";
    measure(&mut group, name, millis(100), || {
        let (_, said) = runtime.block_on(deploy(&server));
        said
    });
    let name = "deployment: from its component having run to a client's first 200";
    measure(&mut group, name, millis(100), || {
        let (seen, _) = runtime.block_on(deploy(&server));
        seen
    });
}

/// From the call to the end of its body and of the instance, whose place is given back last.
async fn call(function: &Function) -> Duration {
    let (place, gone) = tokio::sync::oneshot::channel::<()>();
    let start = Instant::now();
    let request = http::Request::get("http://bench/").body(Empty::<Bytes>::new());
    let visit = Visit {
        caller: Caller {
            request_id: "r".into(),
            path: "/".into(),
            key_name: None,
        },
        model: Arc::new(NoModel),
        place: Box::new(place),
    };
    let answer = function.handle(request.expect("it has a target"), visit);
    let body = answer.await.expect("it answers").into_body().collect();
    assert_eq!(body.await.expect("it ends").to_bytes(), "Hello.\n");
    // It is dropped, and nothing sent.
    let _ = gone.await;
    start.elapsed()
}

/// A client that sends the same request again and again.
struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    /// How the answer ends.
    end: &'static str,
}

impl Connection {
    fn open(server: &Server, path: &str, end: &'static str) -> Self {
        let stream = TcpStream::connect(&server.address).expect("the server listens");
        stream.set_nodelay(true).expect("it is TCP");
        Self {
            stream,
            request: format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").into(),
            end,
        }
    }

    fn first_byte(&mut self) -> Duration {
        let mut buffer = [0; 4096];
        let start = Instant::now();
        self.stream.write_all(&self.request).expect("it is open");
        let mut len = self.stream.read(&mut buffer).expect("it is open");
        let elapsed = start.elapsed();
        assert!(buffer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        while !buffer[..len].ends_with(self.end.as_bytes()) {
            let more = self.stream.read(&mut buffer[len..]);
            let more = more.expect("it is open");
            assert_ne!(more, 0, "the answer is another one");
            len += more;
        }
        elapsed
    }
}

/// Deploys a function that is not there yet, while a client asks for it without a pause. From the moment at which its component
/// has been seen running: the time until the client got its answer, and until the server says that it was live.
async fn deploy(server: &Server) -> (Duration, Duration) {
    let digest = server.upload("hello").await;
    let url = format!("http://{}/fn/new/x", server.address);
    let first_answer = async {
        loop {
            let response = server.client.get(&url).send().await;
            if response.expect("the server is there").status().is_success() {
                return Instant::now();
            }
        }
    };
    let ordered = Instant::now();
    let (answered, deployed) = tokio::join!(first_answer, server.deploy("new", digest, json!({})));
    let said = |what: &str| {
        let millis = deployed[what].as_f64().expect("the server says it");
        Duration::from_secs_f64(millis / 1e3)
    };
    let loaded = ordered + said("loading_ms");
    server.admin(Method::DELETE, "/v1/functions/new", "").await;
    (answered - loaded, said("going_live_ms"))
}

/// Stands in for the model, which `hello` does not call.
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
        unreachable!("`hello` imports no model")
    }

    fn embed(&self, _: EmbeddingRequest, _: Caller) -> BoxFuture<'_, Result<Embeddings, ApiError>> {
        unreachable!("`hello` imports no model")
    }
}
