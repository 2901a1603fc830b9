//! Functions: standard `wasi:http` handlers, each request in an instance of its own, and whatever they do to it.

use std::sync::Arc;
use std::time::Duration;

use artifact::HostPattern;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use http_body_util::{BodyExt, Full};
use sandbox::{
    ApiError, Caller, Capability, ChoiceDelta, Delta, EmbeddingRequest, Embeddings, Event,
    Function, FunctionBody, Generation, InferenceRequest, KeyValueStore, Limits, Loader, Model,
    PluginError, PluginSpec, Sandbox, Usage, Visit,
};

use crate::support::*;

/// A model that says the same two words to everybody who asks for something sane.
struct TwoWords;

struct Words(Vec<&'static str>);

impl Model for TwoWords {
    fn names(&self) -> Vec<String> {
        vec!["m".into()]
    }

    fn generate(
        &self,
        _: InferenceRequest,
        _: Caller,
    ) -> BoxFuture<'_, Result<Box<dyn Generation>, ApiError>> {
        let words: Box<dyn Generation> = Box::new(Words(vec!["two", "one"]));
        std::future::ready(Ok(words)).boxed()
    }

    fn embed(
        &self,
        request: EmbeddingRequest,
        _: Caller,
    ) -> BoxFuture<'_, Result<Embeddings, ApiError>> {
        let embeddings = Embeddings {
            vectors: vec![vec![1.0]; request.inputs.len()],
            usage: Words(Vec::new()).usage(),
        };
        std::future::ready(Ok(embeddings)).boxed()
    }
}

impl Generation for Words {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Event>, ApiError>> {
        let usage_so_far = self.usage();
        let event = self.0.pop().map(|word| {
            Event::Delta(ChoiceDelta {
                choice: 0,
                delta: Delta::Content(word.into()),
                usage_so_far,
            })
        });
        std::future::ready(Ok(event.into_iter().collect())).boxed()
    }

    fn usage(&self) -> Usage {
        Usage {
            prompt_tokens: 1,
            completion_tokens: 2,
            cached_tokens: 0,
            reasoning_tokens: 0,
        }
    }
}

fn visit() -> Visit {
    Visit {
        caller: caller(),
        model: Arc::new(TwoWords),
        place: Box::new(()),
    }
}

/// Budgets short enough that a test can wait for their end.
fn short() -> Limits {
    Limits {
        cpu_budget: Duration::from_millis(500),
        wall_deadline: Duration::from_secs(4),
        ..function_limits()
    }
}

fn loader_of_functions(functions: Limits, pairs: Option<KeyValueStore>) -> Loader {
    Loader::new(Sandbox::new(limits(), functions, pairs).unwrap(), None)
}

async fn load(name: &str) -> Function {
    let loader = loader_of_functions(function_limits(), None);
    let loaded = loader.load_function(PluginSpec::named(name), wasm(name));
    loaded.await.unwrap()
}

/// The function that misbehaves, with all that it asks for, and where it keeps its pairs.
async fn hostile(functions: Limits) -> (tempfile::TempDir, Loader, Function) {
    let folder = tempfile::tempdir().unwrap();
    let pairs = KeyValueStore::open(folder.path(), 100_000).unwrap();
    let loader = loader_of_functions(functions, Some(pairs));
    let spec = PluginSpec {
        hosts: vec!["granted.example:1".parse::<HostPattern>().unwrap()],
        ..PluginSpec::named("hostile-function").granted(Capability::ALL)
    };
    let function = loader.load_function(spec, wasm("hostile-function"));
    let function = function.await.unwrap();
    (folder, loader, function)
}

type Answer = Result<http::Response<FunctionBody>, PluginError>;

async fn call(function: &Function, path: &str, body: impl Into<Bytes>) -> Answer {
    let request = http::Request::builder()
        .method("POST")
        .uri(path)
        .header("host", "localhost")
        .body(Full::new(body.into()))
        .unwrap();
    function.handle(request, visit()).await
}

/// The whole body, or what cut it off.
async fn text(answer: Answer) -> Result<String, String> {
    let body = answer.map_err(|error| error.to_string())?.into_body();
    let body = body.collect().await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

async fn wait_for_no_instance(loader: &Loader) {
    let gone = async {
        while loader.sandbox().num_function_instances() > 0 {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), gone).await;
    waited.expect("an instance stayed");
}

#[tokio::test]
async fn a_function_of_either_wasi_answers_and_leaves_no_instance_behind() {
    for name in ["hello", "hello-p3"] {
        let loader = loader_of_functions(function_limits(), None);
        let spec = PluginSpec::named(name);
        let hello = loader.load_function(spec, wasm(name)).await.unwrap();
        assert_eq!(loader.sandbox().num_function_instances(), 0, "{name}");
        for _ in 0..20 {
            let answer = call(&hello, "/fn/hello", "").await;
            assert_eq!(answer.as_ref().unwrap().status(), 200);
            assert_eq!(text(answer).await.unwrap(), "Hello.\n", "{name}");
        }
        wait_for_no_instance(&loader).await;
    }
}

#[tokio::test]
async fn a_body_of_any_size_comes_back_as_it_was() {
    let body: Bytes = (0..3_000_000_u32).map(|byte| byte as u8).collect();
    for name in ["hello", "hello-p3"] {
        let hello = load(name).await;
        let answer = call(&hello, "/fn/hello/echo", body.clone()).await.unwrap();
        let back = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(back.len(), body.len(), "{name}");
        assert!(back == body, "{name}");
    }
}

#[tokio::test]
async fn dropping_the_response_ends_the_instance() {
    let (_folder, loader, hostile) = hostile(function_limits()).await;
    let mut answer = call(&hostile, "/x/endless-response", "").await.unwrap();
    let frame = answer.body_mut().frame().await.unwrap().unwrap();
    assert!(!frame.into_data().unwrap().is_empty());
    assert_eq!(loader.sandbox().num_function_instances(), 1);
    drop(answer);
    wait_for_no_instance(&loader).await;
}

#[tokio::test]
async fn a_function_reads_what_the_model_says() {
    let (_folder, _loader, hostile) = hostile(function_limits()).await;
    let said = text(call(&hostile, "/x/generate", "").await).await.unwrap();
    assert!(said.contains("one") && said.contains("two"), "{said}");
}

#[tokio::test]
async fn a_limit_that_is_hit_ends_the_instance_and_is_named() {
    let (_folder, loader, hostile) = hostile(short()).await;
    for (order, said) in [
        ("spin", "cpu_budget"),
        ("memory-bomb", "memory_bytes"),
        ("stack-bomb", "trapped"),
        ("trap", "trapped"),
        ("random-bomb", "random bytes"),
        ("never-answer", "wall_deadline"),
        ("no-answer", "without a response"),
        ("error-answer", "in place of a response"),
        ("answer-twice", "failed in `handle`"),
        ("table-bomb", "failed in `handle`"),
    ] {
        let failed = text(call(&hostile, &format!("/x/{order}"), "").await).await;
        let error = failed.expect_err(order);
        assert!(error.contains("`hostile-function`"), "{order}: {error}");
        assert!(error.contains(said), "{order}: {error}");
        assert!(
            text(call(&hostile, "/x/honest", "").await).await.is_ok(),
            "after {order}"
        );
    }
    wait_for_no_instance(&loader).await;
}

#[tokio::test]
async fn a_response_that_is_not_whole_is_never_taken_for_a_whole_one() {
    let (_folder, _loader, hostile) = hostile(short()).await;
    for order in [
        "drop-body",
        "break-off",
        "long-length",
        "forget-body",
        "endless-response",
    ] {
        let failed = text(call(&hostile, &format!("/x/{order}"), "").await).await;
        assert!(failed.is_err(), "{order}: {} bytes", failed.unwrap().len());
    }
}

#[tokio::test]
async fn headers_that_would_frame_or_split_a_response_never_leave() {
    let (_folder, _loader, hostile) = hostile(short()).await;
    for order in [
        "split-header",
        "many-headers",
        "huge-header",
        "own-connection",
        "status-99",
    ] {
        if let Ok(answer) = call(&hostile, &format!("/x/{order}"), "").await {
            let headers = answer.headers();
            assert!(!headers.contains_key("connection"), "{order}: {headers:?}");
            assert!(
                !headers.contains_key("transfer-encoding"),
                "{order}: {headers:?}"
            );
            assert!(!headers.contains_key("x-injected"), "{order}: {headers:?}");
            let len: usize = headers
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len())
                .sum();
            assert!(
                len <= limits().max_header_bytes,
                "{order}: {len} bytes of headers"
            );
        }
    }
}

#[tokio::test]
async fn a_request_to_the_model_that_makes_no_sense_is_refused_to_the_function() {
    let (_folder, _loader, hostile) = hostile(function_limits()).await;
    for order in ["no-inputs", "zero-samples", "nan-temperature"] {
        let said = text(call(&hostile, &format!("/x/{order}"), "").await)
            .await
            .unwrap();
        assert!(said.contains("400"), "{order}: {said}");
    }
    let said = text(call(&hostile, "/x/many-generations", "").await)
        .await
        .unwrap();
    assert!(said.contains("16"), "{said}");
}

#[tokio::test]
async fn a_store_keeps_to_its_quota_and_to_its_own_plugin() {
    let (folder, _loader, hostile) = hostile(function_limits()).await;
    for (order, said) in [
        ("giant-key", "keys have 1 to 512"),
        ("fill-store", "this plugin may keep 100000"),
    ] {
        let answer = text(call(&hostile, &format!("/x/{order}"), "").await)
            .await
            .unwrap();
        assert!(answer.contains(said), "{order}: {answer}");
    }
    text(call(&hostile, "/x/empty-store", "").await)
        .await
        .unwrap();
    text(call(&hostile, "/x/path-keys", "").await)
        .await
        .unwrap();
    let files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(files, ["function-hostile-function.redb"]);
}

#[tokio::test]
async fn an_outgoing_request_goes_only_to_hosts_that_were_granted() {
    let (_folder, _loader, hostile) = hostile(function_limits()).await;
    let denied = text(call(&hostile, "/x/fetch?http://elsewhere.example/", "").await)
        .await
        .unwrap();
    assert!(denied.to_lowercase().contains("denied"), "{denied}");
    let granted = text(call(&hostile, "/x/fetch?http://granted.example:1/", "").await)
        .await
        .unwrap();
    assert!(!granted.to_lowercase().contains("denied"), "{granted}");
}

#[tokio::test]
async fn a_function_finds_no_environment_and_knows_the_time_that_it_was_granted() {
    let (_folder, _loader, hostile) = hostile(function_limits()).await;
    let environment = text(call(&hostile, "/x/environment", "").await)
        .await
        .unwrap();
    assert!(
        !environment.contains("PATH") && !environment.contains("HOME"),
        "{environment}"
    );
    let time = text(call(&hostile, "/x/time", "").await).await.unwrap();
    assert!(!time.is_empty());
}

#[tokio::test]
async fn what_a_function_logs_and_prints_and_how_it_failed_is_in_its_book_within_the_quota() {
    let (_folder, loader, hostile) = hostile(function_limits()).await;
    let book = loader.sandbox().logs("hostile-function").unwrap();
    text(call(&hostile, "/x/log-flood", "").await)
        .await
        .unwrap();
    wait_for_no_instance(&loader).await;
    let logged = book.after(0).len();
    assert!((1..=256).contains(&logged), "{logged} lines");
    text(call(&hostile, "/x/trap", "").await).await.unwrap_err();
    let lines = book.after(logged as u64);
    assert!(lines[0].text.contains("failed in `handle`"), "{lines:?}");
    assert!(lines.len() > 1, "where it trapped is told: {lines:?}");
}

#[tokio::test]
async fn a_function_is_refused_what_it_was_not_granted_by_name() {
    let loader = loader_of_functions(function_limits(), None);
    let refused = loader
        .load_function(
            PluginSpec::named("hostile-function"),
            wasm("hostile-function"),
        )
        .await;
    let error = refused.err().unwrap().to_string();
    for import in [
        "lm:plugin/inference@0.1.0",
        "lm:plugin/key-value@0.1.0",
        "wasi:http/outgoing-handler@0.2",
    ] {
        assert!(error.contains(import), "{import}: {error}");
    }
    for (prober, import) in [
        ("hostile-prober-secrets", "lm:plugin/secrets"),
        ("hostile-prober-sockets", "wasi:sockets/"),
    ] {
        let spec = PluginSpec::named(prober).granted(Capability::ALL);
        let error = loader
            .load_function(spec, wasm(prober))
            .await
            .err()
            .unwrap();
        assert!(error.to_string().contains(import), "{prober}: {error}");
    }
}

#[tokio::test]
async fn a_pool_that_is_full_says_so_and_is_free_again_afterwards() {
    let few = Limits {
        max_instances: 2,
        ..function_limits()
    };
    let (_folder, loader, hostile) = hostile(few).await;
    let one = call(&hostile, "/x/endless-response", "").await.unwrap();
    let two = call(&hostile, "/x/endless-response", "").await.unwrap();
    let error = call(&hostile, "/x/honest", "").await.err().unwrap();
    assert_eq!(error.fault.label(), "overloaded", "{error}");
    drop((one, two));
    wait_for_no_instance(&loader).await;
    assert!(text(call(&hostile, "/x/honest", "").await).await.is_ok());
}
