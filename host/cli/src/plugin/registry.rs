//! `host plugin pull` and `push`: components in registries.

use std::fs;

use anyhow::{Context, Result};
use serde_json::json;

use crate::{
    args::plugin::{PullArgs, PushArgs},
    components,
};

/// Fetches a component and keeps it in this machine's store, and in a file if one is named.
pub(super) async fn pull(args: &PullArgs) -> Result<()> {
    let pulled = components::registry()?.pull(&args.reference).await?;
    components::blobs()?.put(&pulled.wasm)?;
    if let Some(out) = &args.out {
        fs::write(out, &pulled.wasm).with_context(|| format!("cannot write {}", out.display()))?;
    }
    let for_ever = args.reference.at(pulled.manifest_digest).to_string();
    match args.json {
        true => println!(
            "{}",
            json!({"digest": pulled.digest, "manifest": pulled.manifest_digest, "reference": for_ever, "size": pulled.wasm.len()})
        ),
        false => {
            println!("{}  {} bytes", pulled.digest, pulled.wasm.len());
            println!("oci:{for_ever}");
        }
    }
    Ok(())
}

/// Puts a component into a registry under a tag.
pub(super) async fn push(args: &PushArgs) -> Result<()> {
    let wasm = components::fetch(&args.component).await?;
    let pushed = components::registry()?.push(&args.reference, wasm).await?;
    let for_ever = args.reference.at(pushed.manifest_digest).to_string();
    match args.json {
        true => println!(
            "{}",
            json!({"digest": pushed.digest, "manifest": pushed.manifest_digest, "reference": for_ever})
        ),
        false => {
            println!("{} is oci:{}", pushed.digest, args.reference);
            println!("oci:{for_ever}");
        }
    }
    Ok(())
}
