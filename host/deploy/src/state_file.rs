//! The text of `deployments.json`.

use std::{collections::BTreeMap, fmt::Display};

use serde::{Deserialize, Serialize};

use crate::{
    deployments::{Deployments, Quota},
    function::Function,
    name::FunctionName,
    version::VersionNumber,
};

/// The layout that this program writes and reads.
const FORMAT: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFile<F> {
    format: u64,
    functions: Vec<F>,
    removed: BTreeMap<FunctionName, VersionNumber>,
}

/// The one field that all formats share.
#[derive(Deserialize)]
struct Format {
    format: u64,
}

/// The text for these deployments. Fails where it could not be read again, as where settings are nested too deep.
pub(crate) fn encode(deployments: &Deployments) -> Result<Vec<u8>, String> {
    let file = StateFile {
        format: FORMAT,
        functions: deployments
            .functions()
            .map(AsRef::as_ref)
            .collect::<Vec<&Function>>(),
        removed: deployments.removed().clone(),
    };
    let mut text = serde_json::to_vec_pretty(&file).map_err(said)?;
    text.push(b'\n');
    match decode(&text, *deployments.quota())? {
        read if read == *deployments => Ok(text),
        _ => Err("it would be read as something else".into()),
    }
}

/// The deployments that were written down; the error says what is wrong with the text.
pub(crate) fn decode(text: &[u8], quota: Quota) -> Result<Deployments, String> {
    // First, so that a later format is called by its name instead of by its unknown fields.
    let Format { format } = serde_json::from_slice(text).map_err(said)?;
    if format != FORMAT {
        return Err(format!(
            "it has format {format} and this program reads format {FORMAT}; use the program that wrote it"
        ));
    }
    let file: StateFile<Function> = serde_json::from_slice(text).map_err(said)?;
    Deployments::restore(quota, file.functions, file.removed)
}

fn said(error: impl Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use artifact::{Capability, Digest};
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::{Access, Limits, Rollout, UnixMillis, Version};

    const QUOTA: Quota = Quota {
        max_functions: 9,
        max_versions: std::num::NonZeroUsize::MIN,
        max_bytes: 0,
    };

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect::<Map<_, _>>().into()),
            ]
        })
    }

    fn version() -> impl Strategy<Value = Version> {
        let limits = any::<(Option<u32>, Option<u64>, Option<u64>)>();
        let places = any::<(Option<u32>, Option<u32>)>();
        let grants = prop::sample::subsequence(Capability::ALL.to_vec(), 0..=Capability::ALL.len());
        let hosts =
            ["example.com", "*.example.com", "[::1]:9000"].map(|host| host.parse().unwrap());
        let hosts = prop::sample::subsequence(hosts.to_vec(), 0..=hosts.len());
        let access = prop::sample::select(vec![Access::Key, Access::Public]);
        let texts = (any::<[u8; 4]>(), any::<u64>(), value());
        (limits, places, grants, hosts, access, texts).prop_map(
            |((memory, cpu, timeout), (places, queue), grants, hosts, access, texts)| Version {
                component: Digest::of(&texts.0),
                deployed: UnixMillis(texts.1),
                access,
                capabilities: BTreeSet::from_iter(grants),
                outgoing_hosts: BTreeSet::from_iter(hosts),
                config: Map::from_iter([("a".into(), texts.2)]),
                limits: Limits {
                    memory_mib: memory.and_then(|number| number.try_into().ok()),
                    cpu_ms: cpu.and_then(|number| number.try_into().ok()),
                    timeout_ms: timeout.and_then(|number| number.try_into().ok()),
                },
                max_concurrency: places.and_then(|number| number.try_into().ok()),
                max_queue: queue,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(versions in prop::collection::vec(version(), 3)) {
            let mut deployments = Deployments::new(QUOTA);
            let [gone, here] = ["gone", "here"].map(|name| name.parse().unwrap());
            let canary = Rollout::Canary(7.try_into().unwrap());
            let all = [(&gone, Rollout::Full), (&here, Rollout::Full), (&here, canary)];
            for ((name, how), version) in all.into_iter().zip(versions) {
                let route = format!("/{name}/*").parse().unwrap();
                deployments = deployments.deploy(name, &route, version, how).unwrap();
            }
            let deployments = deployments.remove(&gone).unwrap();
            let text = encode(&deployments).unwrap();
            prop_assert_eq!(decode(&text, QUOTA).unwrap(), deployments);
        }
    }

    #[test]
    fn the_text_is_laid_out_like_this() {
        let version = Version {
            component: Digest::of(b""),
            deployed: UnixMillis(1_795_000_000_000),
            access: Access::Key,
            capabilities: BTreeSet::from([Capability::Log, Capability::OutgoingHttp]),
            outgoing_hosts: BTreeSet::from(["example.com".parse().unwrap()]),
            config: Map::from_iter([("greeting".into(), "hi".into())]),
            limits: Limits {
                memory_mib: Some(64.try_into().unwrap()),
                ..Limits::default()
            },
            max_concurrency: None,
            max_queue: Some(0),
        };
        let (name, route) = ("hello".parse().unwrap(), "/hello".parse().unwrap());
        let deployments = Deployments::new(QUOTA)
            .deploy(&name, &route, version, Rollout::Full)
            .unwrap();
        let text = encode(&deployments).unwrap();
        let expected = json!({
            "format": 1,
            "functions": [{
                "name": "hello",
                "route": "/hello",
                "live": {"stable": 1},
                "versions": {"1": {
                    "component": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                    "deployed": 1_795_000_000_000_u64,
                    "access": "key",
                    "capabilities": ["log", "outgoing-http"],
                    "outgoing_hosts": ["example.com"],
                    "config": {"greeting": "hi"},
                    "limits": {"memory_mib": 64},
                    "max_queue": 0
                }}
            }],
            "removed": {}
        });
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), expected);
    }
}
