//! What is in a registry after a push, and what comes back.

use artifact::{Digest, Lock, LockError, Pin};
use serde_json::{Value, json};

use crate::support::{Registry, client, shipped};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

#[tokio::test]
async fn a_component_comes_back_as_it_was_pushed() {
    let (registry, client) = (Registry::open(), client());
    for name in ["openai-router", "request-shaper", "chat-template"] {
        let wasm = shipped(&format!("{name}.wasm"));
        let reference = registry.reference(&format!("plugins/{name}:1.0"));
        let pushed = client.push(&reference, wasm.clone()).await.unwrap();
        assert_eq!(pushed.digest, Digest::of(&wasm));

        let pulled = client.pull(&reference).await.unwrap();
        assert!(pulled.wasm == wasm, "{name} came back as something else");
        assert_eq!(pulled.digest, pushed.digest);
        assert_eq!(pulled.manifest_digest, pushed.manifest_digest);
        let by_digest = reference.at(pushed.manifest_digest);
        assert_eq!(client.pull(&by_digest).await.unwrap(), pulled);
    }
}

#[tokio::test]
async fn other_clients_find_the_standard_shape() {
    let registry = Registry::open();
    let wasm = shipped("request-shaper.wasm");
    let inspection = artifact::inspect(&wasm).unwrap();
    let reference = registry.reference("team/shaper:1.0");
    let pushed = client().push(&reference, wasm.clone()).await.unwrap();

    let manifest = registry.get("/v2/team/shaper/manifests/1.0", MANIFEST);
    assert_eq!(Digest::of(&manifest), pushed.manifest_digest);
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let config = &manifest["config"];
    let config_path = format!(
        "/v2/team/shaper/blobs/{}",
        config["digest"].as_str().unwrap()
    );
    let config_body = registry.get(&config_path, "*/*");
    assert_eq!(
        manifest,
        json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.wasm.config.v0+json",
                "digest": Digest::of(&config_body),
                "size": config_body.len(),
            },
            "layers": [{
                "mediaType": "application/wasm",
                "digest": Digest::of(&wasm),
                "size": wasm.len(),
            }],
        })
    );

    let mut config: Value = serde_json::from_slice(&config_body).unwrap();
    let created = config["created"].take();
    let created = created.as_str().unwrap();
    assert!(created.len() == 20 && created.ends_with('Z'), "{created}");
    assert_eq!(
        config,
        json!({
            "created": null,
            "architecture": "wasm",
            "os": "wasip2",
            "layerDigests": [Digest::of(&wasm)],
            "component": {"exports": inspection.exports, "imports": inspection.imports},
        })
    );
    let layer = registry.get(&format!("/v2/team/shaper/blobs/{}", pushed.digest), "*/*");
    assert!(layer == wasm, "the layer is not the component");
}

#[tokio::test]
async fn what_is_pinned_is_pulled_after_its_tag_was_moved() {
    let (registry, client) = (Registry::open(), client());
    let reference = registry.reference("shaper:stable");
    let (first, second) = (
        shipped("request-shaper.wasm"),
        shipped("hostile-shaper.wasm"),
    );
    client.push(&reference, first.clone()).await.unwrap();
    let pulled = client.pull(&reference).await.unwrap();
    let mut lock = Lock::default();
    lock.pin(reference.clone(), Pin::from(&pulled));
    lock.check(&reference, &pulled).unwrap();

    client.push(&reference, second.clone()).await.unwrap();
    let moved = client.pull(&reference).await.unwrap();
    assert!(moved.wasm == second, "the tag was not moved");
    let error = lock.check(&reference, &moved).unwrap_err();
    assert!(matches!(&error, LockError::Moved { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains(&moved.manifest_digest.to_string()),
        "{error}"
    );

    let pin = lock.get(&reference).unwrap();
    let pinned = client.pull(&reference.at(pin.manifest)).await.unwrap();
    assert!(pinned.wasm == first, "what was pinned is another component");
    lock.check(&reference, &pinned).unwrap();
}
