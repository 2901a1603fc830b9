//! The plugins in the path of requests: which they are, and replacing them.

use http::{Response, StatusCode};
use sandbox::{ApiError, PluginInfo};
use serde_json::{Value, json};

use super::{Admin, json};
use crate::{app::App, body::Body, error::refusal};

pub(super) fn list(app: &App) -> Response<Body> {
    let current = app.plugins.current();
    let plugins: Vec<Value> = current.plugins.infos().map(describe).collect();
    json(&json!({"generation": current.generation, "plugins": plugins}))
}

pub(super) async fn reload(admin: &Admin) -> Result<Response<Body>, ApiError> {
    let reloaded = admin.reload().await;
    reloaded.map_err(|why| {
        let message = format!("the plugins that serve were kept: {why}");
        refusal(StatusCode::UNPROCESSABLE_ENTITY, message)
    })?;
    Ok(list(&admin.app))
}

fn describe(info: &PluginInfo) -> Value {
    json!({
        "name": &*info.name,
        "role": info.role,
        "version": info.version,
        "digest": info.digest,
        "grants": info.grants,
    })
}
