//! Plugins, requests and limits that the tests share.

use std::time::Duration;

use sandbox::{
    Caller, Capability, Constraint, Conversation, Delta, InferenceRequest, Input, Limits, Loader,
    Message, ModelCard, ModelTemplate, PluginSpec, Request, Router, Sampling, Sandbox, ServerInfo,
    Shaper, Template, ToolChoice,
};

/// Few instances, as each test makes its own sandbox; budgets long enough that only what is under test runs out.
pub(crate) fn limits() -> Limits {
    let long = Duration::from_secs(60);
    Limits {
        max_instances: 8,
        cpu_budget: long,
        wall_deadline: long,
        ..Limits::default()
    }
}

pub(crate) fn sandbox(requests: Limits) -> Sandbox {
    Sandbox::new(requests, function_limits(), None).unwrap()
}

/// As few for functions.
pub(crate) fn function_limits() -> Limits {
    Limits {
        max_instances: 8,
        ..Limits::for_functions()
    }
}

pub(crate) fn loader(limits: Limits) -> Loader {
    Loader::new(sandbox(limits), None)
}

/// A built plugin from `plugins/dist`.
pub(crate) fn wasm(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/../../plugins/dist/{name}.wasm",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A plugin of this name with the grants that all of them need.
pub(crate) fn spec(name: &str) -> PluginSpec {
    PluginSpec::named(name).granted([Capability::Log, Capability::Config])
}

pub(crate) async fn hostile_shaper(loader: &Loader) -> Shaper {
    loader
        .load_shaper(spec("hostile-shaper"), wasm("hostile-shaper"))
        .await
        .unwrap()
}

pub(crate) async fn hostile_router(loader: &Loader) -> Router {
    loader
        .load_router(spec("hostile-router"), wasm("hostile-router"))
        .await
        .unwrap()
}

pub(crate) async fn hostile_template(loader: &Loader) -> Template {
    loader
        .load_template(spec("hostile-template"), wasm("hostile-template"))
        .await
        .unwrap()
}

/// A request whose model is an order to the hostile shaper.
pub(crate) fn inference(order: &str) -> InferenceRequest {
    InferenceRequest {
        model: order.into(),
        inputs: vec![
            Input::Text("hello".into()),
            Input::Chat(conversation("hello")),
            Input::Tokens(vec![1, 2, 3]),
        ],
        n: 2,
        sampling: Sampling {
            max_tokens: Some(16),
            min_tokens: 1,
            temperature: Some(0.5),
            top_p: None,
            top_k: Some(20),
            min_p: None,
            repetition_penalty: None,
            presence_penalty: None,
            frequency_penalty: None,
            logit_bias: vec![(7, -1.5)],
            seed: Some(-4),
            stop: vec!["\n".into()],
            stop_token_ids: vec![9],
            ignore_eos: false,
            logprobs: Some(3),
            constraint: Some(Constraint::JsonSchema(r#"{"type":"object"}"#.into())),
        },
        stream: true,
        echo: false,
        priority: -1,
        cache_salt: Some("tenant".into()),
    }
}

pub(crate) fn caller() -> Caller {
    Caller {
        request_id: "r-1".into(),
        path: "/v1/chat/completions".into(),
        key_name: None,
    }
}

/// A request whose body is an order to the hostile router.
pub(crate) fn http(order: &str) -> Request {
    Request {
        method: "POST".into(),
        path: "/hostile".into(),
        query: None,
        headers: Vec::new(),
        body: order.into(),
    }
}

pub(crate) fn server() -> ServerInfo {
    let model = ModelCard {
        id: "m".into(),
        created: 1_700_000_000,
        max_model_len: 4096,
        embedding_len: Some(4),
        root: "m".into(),
    };
    ServerInfo {
        request_id: "r-1".into(),
        now: 1_700_000_000,
        models: vec![model],
    }
}

/// A conversation whose last message is an order to the hostile template.
pub(crate) fn conversation(order: &str) -> Conversation {
    let message = Message {
        role: "user".into(),
        content: Some(order.into()),
        reasoning: None,
        name: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
    };
    Conversation {
        messages: vec![message],
        tools: Vec::new(),
        tool_choice: ToolChoice::Auto,
        parallel_tool_calls: true,
        add_generation_prompt: true,
        continue_final_message: false,
        template_variables: None,
    }
}

pub(crate) fn model() -> ModelTemplate {
    ModelTemplate {
        model: "m".into(),
        chat_template: None,
        bos_token: None,
        eos_token: None,
        now: 1_700_000_000,
    }
}

pub(crate) fn content(text: &str) -> Delta {
    Delta::Content(text.into())
}
