//! The shape that components have in registries: an image manifest whose configuration says that it is WebAssembly, and
//! whose only layer is the component.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{explain::printable, rfc3339};
use crate::{Digest, Inspection};

/// The media type of the manifest.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// All kinds of manifests that registries have, so that those which are of no use are told apart from those which are absent.
pub(super) const MANIFESTS: &[&str] = &[MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX];

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The media type of the configuration.
const CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// The media type of the layer.
const WASM: &str = "application/wasm";

/// An image manifest, as far as it says anything of a component.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageManifest {
    schema_version: u32,
    media_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// One of the things that a manifest names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    /// In bytes.
    pub(super) size: u64,
}

impl ImageManifest {
    /// The manifest of a component with this configuration.
    pub(super) fn new(config: &[u8], component: &Inspection) -> ImageManifest {
        ImageManifest {
            schema_version: 2,
            media_type: Some(MANIFEST.into()),
            config: Descriptor {
                media_type: CONFIG.into(),
                digest: Digest::of(config),
                size: config.len() as u64,
            },
            layers: vec![Descriptor {
                media_type: WASM.into(),
                digest: component.digest,
                size: component.size,
            }],
        }
    }

    /// As it is sent.
    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are JSON")
    }
}

/// The configuration of a component that was pushed at this time.
pub(super) fn config(component: &Inspection, created: SystemTime) -> Vec<u8> {
    let config = json!({
        "created": rfc3339::utc(created),
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [component.digest],
        "component": {
            "exports": component.exports,
            "imports": component.imports,
        },
    });
    config.to_string().into_bytes()
}

/// The component's layer of a manifest; the error says what it is instead.
pub(super) fn only_layer(manifest: &[u8]) -> Result<Descriptor, String> {
    let json: Value =
        serde_json::from_slice(manifest).map_err(|e| format!("its manifest is no JSON ({e})"))?;
    match json.get("mediaType").and_then(Value::as_str) {
        Some(MANIFEST) | None => {}
        Some(INDEX | DOCKER_INDEX) => return Err("it is a list of images".into()),
        Some(DOCKER_MANIFEST) => return Err("it is a Docker image".into()),
        Some(other) => return Err(format!("it is of the media type `{}`", printable(other))),
    }
    if json.get("manifests").is_some() {
        return Err("it is a list of images".into());
    }
    let kind = json.pointer("/config/mediaType").and_then(Value::as_str);
    match kind {
        Some(CONFIG) => {}
        Some("application/vnd.oci.image.config.v1+json") => {
            return Err("it is a container image".into());
        }
        Some(other) => {
            return Err(format!(
                "its configuration is of the media type `{}` in place of `{CONFIG}`",
                printable(other)
            ));
        }
        None => return Err("its manifest has no configuration".into()),
    }
    let manifest: ImageManifest = serde_json::from_value(json)
        .map_err(|e| format!("its manifest is damaged ({})", printable(&e.to_string())))?;
    match <[Descriptor; 1]>::try_from(manifest.layers) {
        Ok([layer]) if layer.media_type == WASM => Ok(layer),
        Ok([layer]) => Err(format!(
            "its layer is of the media type `{}` in place of `{WASM}`",
            printable(&layer.media_type)
        )),
        Err(layers) => Err(format!("it has {} layers in place of one", layers.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{inspect, samples};

    fn sample() -> Inspection {
        let imports = ["lm:plugin/log@0.1.0"];
        inspect(&samples::component(&imports, &["lm:plugin/shaping@0.1.0"])).unwrap()
    }

    #[test]
    fn a_component_is_described_in_the_standard_shape() {
        let component = sample();
        let config = config(&component, SystemTime::UNIX_EPOCH);
        let digest = component.digest.to_string();
        assert_eq!(
            serde_json::from_slice::<Value>(&config).unwrap(),
            json!({
                "created": "1970-01-01T00:00:00Z",
                "architecture": "wasm",
                "os": "wasip2",
                "layerDigests": [digest],
                "component": {
                    "exports": ["lm:plugin/shaping@0.1.0"],
                    "imports": ["lm:plugin/log@0.1.0"],
                },
            })
        );
        let manifest = ImageManifest::new(&config, &component).to_json();
        assert_eq!(
            serde_json::from_slice::<Value>(&manifest).unwrap(),
            json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {
                    "mediaType": "application/vnd.wasm.config.v0+json",
                    "digest": Digest::of(&config).to_string(),
                    "size": config.len(),
                },
                "layers": [{
                    "mediaType": "application/wasm",
                    "digest": digest,
                    "size": component.size,
                }],
            })
        );
        assert_eq!(only_layer(&manifest).unwrap().digest, component.digest);
    }

    #[test]
    fn any_other_shape_is_named() {
        let layer = json!({"mediaType": WASM, "digest": Digest::of(b""), "size": 0});
        let config = json!({"mediaType": CONFIG, "digest": Digest::of(b""), "size": 0});
        let with = |change: Value| {
            let mut manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
            for (key, value) in change.as_object().unwrap() {
                manifest[key] = value.clone();
            }
            manifest.to_string()
        };
        assert!(only_layer(with(json!({})).as_bytes()).is_ok());
        assert!(only_layer(with(json!({"mediaType": null, "annotations": {}})).as_bytes()).is_ok());
        let gzip = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": Digest::of(b""), "size": 0});
        let image = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": Digest::of(b""), "size": 0});
        let other = json!({"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": Digest::of(b""), "size": 0});
        let sha512 = json!({"mediaType": WASM, "digest": "sha512:00", "size": 0});
        let negative = json!({"mediaType": WASM, "digest": Digest::of(b""), "size": -1});
        for (manifest, expected) in [
            ("<html>".into(), "its manifest is no JSON"),
            ("{}".into(), "its manifest has no configuration"),
            (with(json!({"mediaType": INDEX})), "it is a list of images"),
            (with(json!({"manifests": []})), "it is a list of images"),
            (
                with(json!({"mediaType": DOCKER_MANIFEST})),
                "it is a Docker image",
            ),
            (
                with(json!({"mediaType": "text/html"})),
                "it is of the media type `text/html`",
            ),
            (with(json!({"config": image})), "it is a container image"),
            (
                with(json!({"config": other})),
                "`application/vnd.cncf.helm.config.v1+json` in place of",
            ),
            (
                with(json!({"layers": []})),
                "it has 0 layers in place of one",
            ),
            (
                with(json!({"layers": [layer, layer]})),
                "it has 2 layers in place of one",
            ),
            (
                with(json!({"layers": [gzip]})),
                "tar+gzip` in place of `application/wasm`",
            ),
            (with(json!({"layers": [sha512]})), "its manifest is damaged"),
            (
                with(json!({"layers": [negative]})),
                "its manifest is damaged",
            ),
        ] {
            let error = only_layer(manifest.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
