//! Functions: what is deployed, and changes of it.

use std::{collections::BTreeSet, num::NonZeroU32};

use artifact::{Capability, Digest, HostPattern};
use deploy::{
    Access, DeployError, Deployments, FunctionName, Limits, Percent, Rollout, Route, Version,
};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use sandbox::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{MAX_COMPONENT, MAX_ORDER, json, told};
use crate::{
    app::App,
    body::{self, Body},
    error::refusal,
    functions::{Order, now},
};

/// A deployment as administrators ask for it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    component: Digest,
    route: Route,
    #[serde(default = "with_key")]
    access: Access,
    #[serde(default)]
    grants: BTreeSet<Capability>,
    #[serde(default)]
    hosts: BTreeSet<HostPattern>,
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default)]
    limits: Limits,
    max_concurrency: Option<NonZeroU32>,
    max_queue: Option<u32>,
    /// The share of the requests in percent; absent: all.
    canary: Option<Percent>,
}

/// Who can spend the GPU's time is not decided by leaving a field out.
fn with_key() -> Access {
    Access::Key
}

pub(super) async fn list(app: &App) -> Result<Response<Body>, ApiError> {
    let deployments = app.functions.deployments();
    let functions: Vec<Value> = deployments
        .functions()
        .map(|function| describe(app, function))
        .collect();
    Ok(json(&json!({ "functions": functions })))
}

pub(super) async fn inspect(app: &App, name: &str) -> Result<Response<Body>, ApiError> {
    let name = function_name(name)?;
    let deployments = app.functions.deployments();
    let function = deployments.function(&name).map_err(refused)?;
    Ok(json(&describe(app, function)))
}

pub(super) async fn upload(
    app: &App,
    digest: &str,
    body: Incoming,
) -> Result<Response<Body>, ApiError> {
    let digest: Digest = digest
        .parse()
        .map_err(|error: artifact::NotADigest| bad_request(error.to_string()))?;
    let component = body::read(body, MAX_COMPONENT, body::ADMIN_DEADLINE).await?;
    let size = component.len();
    let uploaded = app.functions.upload(digest, component.into()).await;
    uploaded.map_err(|error| told(&error))?;
    Ok(json(&json!({"component": digest, "bytes": size})))
}

pub(super) async fn deploy(
    app: &App,
    name: &str,
    body: Incoming,
) -> Result<Response<Body>, ApiError> {
    let body = body::read(body, MAX_ORDER, body::ADMIN_DEADLINE).await?;
    let asked: Asked = serde_json::from_slice(&body)
        .map_err(|error| bad_request(format!("the order cannot be read: {error}")))?;
    let order = Order {
        name: function_name(name)?,
        route: asked.route,
        how: asked.canary.map_or(Rollout::Full, Rollout::Canary),
        version: Version {
            component: asked.component,
            deployed: now(),
            access: asked.access,
            capabilities: asked.grants,
            outgoing_hosts: asked.hosts,
            config: asked.config,
            limits: asked.limits,
            max_concurrency: asked.max_concurrency,
            max_queue: asked.max_queue,
        },
    };
    let deployed = app.functions.deploy(app, order).await;
    let deployed = deployed.map_err(|error| told(&error))?;
    let millis = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    Ok(json(&json!({
        "function": name,
        "version": deployed.number,
        "loading_ms": millis(deployed.loading),
        "going_live_ms": millis(deployed.going_live),
    })))
}

pub(super) async fn promote(app: &App, name: &str) -> Result<Response<Body>, ApiError> {
    change(app, name, Deployments::promote).await
}

pub(super) async fn rollback(app: &App, name: &str) -> Result<Response<Body>, ApiError> {
    change(app, name, Deployments::rollback).await
}

pub(super) async fn remove(app: &App, name: &str) -> Result<Response<Body>, ApiError> {
    let name = function_name(name)?;
    let removed = name.clone();
    let change = move |deployments: &Deployments| deployments.remove(&name);
    app.functions
        .change(change)
        .await
        .map_err(|error| told(&error))?;
    Ok(json(&json!({"removed": removed})))
}

async fn change(
    app: &App,
    name: &str,
    how: fn(&Deployments, &FunctionName) -> Result<Deployments, DeployError>,
) -> Result<Response<Body>, ApiError> {
    let changed = function_name(name)?;
    let what = move |deployments: &Deployments| how(deployments, &changed);
    app.functions
        .change(what)
        .await
        .map_err(|error| told(&error))?;
    inspect(app, name).await
}

/// A function as it is kept, with what it does at this moment.
fn describe(app: &App, function: &deploy::Function) -> Value {
    let mut described = serde_json::to_value(function).expect("its fields are plain data");
    let (running, queued) = app.functions.load(function.name());
    if let Value::Object(described) = &mut described {
        described.insert("running".into(), running.into());
        described.insert("queued".into(), queued.into());
    }
    described
}

fn function_name(text: &str) -> Result<FunctionName, ApiError> {
    text.parse()
        .map_err(|error: deploy::NotAName| bad_request(error.to_string()))
}

fn refused(error: DeployError) -> ApiError {
    told(&error.into())
}

fn bad_request(message: String) -> ApiError {
    refusal(StatusCode::BAD_REQUEST, message)
}
