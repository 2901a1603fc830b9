//! `host function`: what is deployed on a running server, and changes of it.

use std::io::Write;

use anyhow::Result;
use reqwest::Method;
use serde_json::Value;

use super::AdminClient;
use crate::args::admin::{FunctionCommand, NamedArgs};

/// Asks the server and prints what it says.
pub(crate) async fn run(command: FunctionCommand) -> Result<()> {
    match command {
        FunctionCommand::List(admin) => {
            let listed = AdminClient::new(&admin)?
                .json(Method::GET, "/v1/functions", "")
                .await?;
            match admin.json {
                true => println!("{listed}"),
                false => list(&listed),
            }
        }
        FunctionCommand::Inspect(of) => println!("{:#}", ask(&of, Method::GET, "").await?),
        FunctionCommand::Promote(of) => changed(&of, &ask(&of, Method::POST, "/promote").await?),
        FunctionCommand::Rollback(of) => changed(&of, &ask(&of, Method::POST, "/rollback").await?),
        FunctionCommand::Remove(of) => {
            let removed = ask(&of, Method::DELETE, "").await?;
            match of.admin.json {
                true => println!("{removed}"),
                false => println!("function {} is removed", of.name),
            }
        }
        FunctionCommand::Logs {
            name,
            follow,
            admin,
        } => logs(&AdminClient::new(&admin)?, &name, follow, admin.json).await?,
    }
    Ok(())
}

async fn ask(of: &NamedArgs, method: Method, what: &str) -> Result<Value> {
    let path = format!("/v1/functions/{}{what}", of.name);
    AdminClient::new(&of.admin)?.json(method, &path, "").await
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

fn changed(of: &NamedArgs, function: &Value) {
    match of.admin.json {
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
    // A server that ends breaks a log off that is followed: there is nothing more to come.
    while let Ok(Some(bytes)) = response.chunk().await {
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
