//! `host function`: what is deployed on a running server, and changes of it.

use std::io::Write;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::Value;

use super::AdminClient;
use crate::args::admin::{FunctionArgs, FunctionCommand};

/// Asks the server and prints what it says.
pub(crate) async fn run(args: FunctionArgs) -> Result<()> {
    let client = AdminClient::new(&args.admin)?;
    let json = args.admin.json;
    match args.what {
        FunctionCommand::List => {
            let listed = client.json(Method::GET, "/v1/functions", "").await?;
            if json {
                println!("{listed}");
            } else {
                list(&listed);
            }
        }
        FunctionCommand::Inspect { name } => {
            let function = client
                .json(Method::GET, &format!("/v1/functions/{name}"), "")
                .await?;
            println!("{function:#}");
        }
        FunctionCommand::Logs { name, follow } => logs(&client, &name, follow, json).await?,
        FunctionCommand::Promote { name } => {
            let path = format!("/v1/functions/{name}/promote");
            changed(&client.json(Method::POST, &path, "").await?, json);
        }
        FunctionCommand::Rollback { name } => {
            let path = format!("/v1/functions/{name}/rollback");
            changed(&client.json(Method::POST, &path, "").await?, json);
        }
        FunctionCommand::Remove { name } => {
            let path = format!("/v1/functions/{name}");
            let removed = client.json(Method::DELETE, &path, "").await?;
            match json {
                true => println!("{removed}"),
                false => println!("function {name} is removed"),
            }
        }
    }
    Ok(())
}

fn list(listed: &Value) {
    let functions = listed["functions"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    if functions.is_empty() {
        return println!("nothing is deployed");
    }
    println!(
        "{:<24} {:<32} {:<20} RUNNING QUEUED",
        "FUNCTION", "ROUTE", "TRAFFIC"
    );
    for function in functions {
        println!(
            "{:<24} {:<32} {:<20} {:<7} {}",
            text(&function["name"]),
            text(&function["route"]),
            traffic(function),
            function["running"],
            function["queued"],
        );
    }
}

fn changed(function: &Value, json: bool) {
    match json {
        true => println!("{function}"),
        false => println!(
            "function {}: {}",
            text(&function["name"]),
            traffic(function)
        ),
    }
}

/// Which version gets how much.
fn traffic(function: &Value) -> String {
    let live = &function["live"];
    match live["canary"]["percent"].as_u64() {
        Some(percent) => format!(
            "v{} {} %, v{} {percent} %",
            live["stable"],
            100 - percent.min(100),
            live["canary"]["version"]
        ),
        None => format!("v{}", live["stable"]),
    }
}

async fn logs(client: &AdminClient, name: &str, follow: bool, json: bool) -> Result<()> {
    let path = format!("/v1/logs/{name}?follow={follow}");
    let mut response = client.send(Method::GET, &path, "").await?;
    let mut begun = Vec::new();
    let mut out = std::io::stdout().lock();
    while let Some(bytes) = response.chunk().await.context("the log broke off")? {
        begun.extend_from_slice(&bytes);
        while let Some(end) = begun.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = begun.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = if json {
                line.into_owned()
            } else {
                readable(line.trim_end())
            };
            // Who reads through `head` has seen enough when it closes.
            if out
                .write_all(line.as_bytes())
                .and_then(|()| out.flush())
                .is_err()
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn readable(line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    let unix_ms = line["unix_ms"].as_u64().unwrap_or_default();
    format!(
        "{}.{:03} {:<5} {} {}\n",
        unix_ms / 1000,
        unix_ms % 1000,
        text(&line["level"]),
        text(&line["request_id"]),
        text(&line["text"]),
    )
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
