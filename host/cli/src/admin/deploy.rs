//! `host deploy`: a component becomes a function of a running server.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use artifact::{Digest, Inspection, Role, Source};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::AdminClient;
use crate::{args::admin::DeployArgs, components};

/// Uploads the component and orders its deployment. What is wrong with it is said before anything is sent, if it shows.
pub(crate) async fn run(args: DeployArgs) -> Result<()> {
    let component = components::fetch(&args.component).await?;
    let inspection = artifact::inspect(&component).with_context(|| args.component.to_string())?;
    check(&args, &inspection)?;
    let name = name(&args, &inspection)?;
    let route = match &args.route {
        Some(route) => route.to_string(),
        None => format!("/fn/{name}"),
    };
    let client = AdminClient::new(&args.admin)?;
    let digest = inspection.digest;
    let upload = format!("/v1/components/{digest}");
    client.send(Method::PUT, &upload, component).await?;
    let order = order(&args, digest, &route)?;
    let path = format!("/v1/functions/{name}/versions");
    let deployed = client.json(Method::POST, &path, order.to_string()).await?;
    if args.admin.json {
        println!("{deployed}");
        return Ok(());
    }
    let share = match args.canary {
        Some(percent) => format!(" for {} % of its requests", percent.get()),
        None => String::new(),
    };
    println!(
        "function {name} answers {route}{share}: version {}, {digest}, loaded in {:.0} ms, live {:.0} ms later",
        deployed["version"],
        deployed["loading_ms"].as_f64().unwrap_or_default(),
        deployed["going_live_ms"].as_f64().unwrap_or_default(),
    );
    Ok(())
}

/// Says what the server would refuse, with the flags that mend it.
fn check(args: &DeployArgs, inspection: &Inspection) -> Result<()> {
    let source = &args.component;
    if let Some(digest) = &args.digest {
        ensure!(
            *digest == inspection.digest,
            "{source} is {}, not {digest}: it is another component than the one you meant",
            inspection.digest
        );
    }
    ensure!(
        inspection.role == Role::Function,
        "{source} is a {}, which goes into the server's plugin file (--plugins); only functions are deployed",
        inspection.role
    );
    inspection
        .check_manifest()
        .with_context(|| source.to_string())?;
    let missing: Vec<&str> = inspection
        .asked
        .iter()
        .filter(|asked| !args.grant.contains(asked))
        .map(|asked| asked.as_str())
        .collect();
    ensure!(
        missing.is_empty(),
        "{source} asks for more than it was granted; if you agree, add --grant {}",
        missing.join(",")
    );
    Ok(())
}

fn name(args: &DeployArgs, inspection: &Inspection) -> Result<deploy::FunctionName> {
    if let Some(name) = &args.name {
        return Ok(name.clone());
    }
    let of_manifest = inspection
        .manifest
        .as_ref()
        .map(|manifest| manifest.id.to_string());
    let of_file = match &args.component {
        Source::Path(path) => Path::new(path)
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned()),
        Source::Digest(_) | Source::Oci(_) => None,
    };
    let Some(name) = of_manifest.or(of_file) else {
        bail!("the component has no plugin.toml to name it: give --name");
    };
    name.parse().context("give --name")
}

fn order(args: &DeployArgs, digest: Digest, route: &str) -> Result<Value> {
    let mut order = json!({
        "component": digest,
        "route": route,
        "access": if args.public { "public" } else { "key" },
        "grants": args.grant,
        "hosts": args.host.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "config": config(args.config.as_deref())?,
        "max_concurrency": args.max_concurrency,
        "max_queue": args.max_queue,
        "canary": args.canary,
    });
    let limits = [
        ("memory_mib", args.memory_mib.map(|n| n.get().into())),
        ("cpu_ms", args.cpu_ms.map(|n| n.get().into())),
        ("timeout_ms", args.timeout_ms.map(|n| n.get().into())),
    ];
    let given = limits
        .into_iter()
        .filter_map(|(name, limit): (_, Option<Value>)| Some((name.to_owned(), limit?)));
    order["limits"] = Value::Object(given.collect());
    Ok(order)
}

fn config(given: Option<&str>) -> Result<Map<String, Value>> {
    let text = match given {
        None => return Ok(Map::new()),
        Some(given) => match given.strip_prefix('@') {
            Some(path) => {
                std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?
            }
            None => given.to_owned(),
        },
    };
    serde_json::from_str(&text).context("--config is no JSON object")
}
