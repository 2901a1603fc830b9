//! `host plugin list` and `reload`: the plugins in the path of a running server's requests.

use anyhow::Result;
use reqwest::Method;
use serde_json::Value;

use crate::{admin::AdminClient, args::admin::AdminArgs};

/// Prints which plugins serve.
pub(super) async fn list(args: &AdminArgs) -> Result<()> {
    let listed = AdminClient::new(args)?
        .json(Method::GET, "/v1/plugins", "")
        .await?;
    print(&listed, args);
    Ok(())
}

/// Has the server read its plugin file again, and prints which plugins serve then.
pub(super) async fn reload(args: &AdminArgs) -> Result<()> {
    let reloaded = AdminClient::new(args)?
        .json(Method::POST, "/v1/plugins/reload", "")
        .await?;
    print(&reloaded, args);
    Ok(())
}

fn print(answer: &Value, args: &AdminArgs) {
    if args.json {
        return println!("{answer}");
    }
    println!("generation {}", answer["generation"]);
    println!(
        "{:<24} {:<14} {:<10} {:<24} DIGEST",
        "PLUGIN", "ROLE", "VERSION", "GRANTS"
    );
    let plugins = answer["plugins"].as_array().map_or(&[][..], Vec::as_slice);
    for plugin in plugins {
        let text = |key: &str| plugin[key].as_str().unwrap_or_default();
        let grants = plugin["grants"].as_array().map_or(&[][..], Vec::as_slice);
        let grants: Vec<&str> = grants.iter().filter_map(Value::as_str).collect();
        println!(
            "{:<24} {:<14} {:<10} {:<24} {}",
            text("name"),
            text("role"),
            text("version"),
            grants.join(","),
            text("digest"),
        );
    }
}
