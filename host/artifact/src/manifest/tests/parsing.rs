use std::time::Duration;

use super::LEAST;
use crate::{Capability, Manifest, Role, WitVersion};

fn error(text: &str) -> String {
    match Manifest::parse(text) {
        Ok(manifest) => panic!("{manifest:?}"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn a_manifest_says_all_that_it_can_say() {
    let text = r#"
        id = "forecast"
        version = "1.2.3-beta.1"
        role = "function"
        wit = "0.1"
        description = "The weather, in words"
        license = "MIT"
        capabilities = ["config", "log", "inference", "outgoing-http"]
        [outgoing-http]
        hosts = ["api.example.com", "*.example.org", "127.0.0.1:9000"]
        [limits]
        memory-mib = 64
        cpu-ms = 1000
        timeout-ms = 2000
        [config]
        schema = { type = "object", required = ["city"] }
    "#;
    let manifest = Manifest::parse(text).unwrap();
    assert_eq!(manifest.id.as_str(), "forecast");
    assert_eq!(manifest.version.to_string(), "1.2.3-beta.1");
    assert_eq!(manifest.role, Role::Function);
    assert_eq!(manifest.wit, WitVersion::HOST);
    assert_eq!(
        manifest.description.as_deref(),
        Some("The weather, in words")
    );
    assert_eq!(manifest.license.as_deref(), Some("MIT"));
    let capabilities = [
        Capability::Log,
        Capability::Config,
        Capability::Inference,
        Capability::OutgoingHttp,
    ];
    assert_eq!(manifest.capabilities, capabilities.into());
    let hosts: Vec<String> = manifest
        .outgoing_hosts
        .iter()
        .map(|h| h.to_string())
        .collect();
    assert_eq!(
        hosts,
        ["api.example.com", "*.example.org", "127.0.0.1:9000"]
    );
    assert_eq!(manifest.limits.memory_mib, Some(64));
    assert_eq!(manifest.limits.cpu, Some(Duration::from_secs(1)));
    assert_eq!(manifest.limits.timeout, Some(Duration::from_secs(2)));
    assert!(manifest.config_schema.is_some());
}

#[test]
fn what_is_not_asked_for_is_not_there() {
    let manifest = Manifest::parse(LEAST).unwrap();
    assert!(manifest.capabilities.is_empty() && manifest.outgoing_hosts.is_empty());
    assert_eq!(manifest.limits, Default::default());
    assert_eq!(manifest.config_schema, None);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_what_was_probably_meant() {
    for (added, expected) in [
        (
            "capabilites = []",
            "plugin.toml, line 6: the key `capabilites` is unknown; `capabilities` was probably meant",
        ),
        (
            "memory-mib = 64",
            "plugin.toml, line 6: the key `memory-mib` is unknown; it belongs in [limits]",
        ),
        (
            "author = \"me\"",
            "plugin.toml, line 6: the key `author` is unknown; known are id, version, role, wit, description, license, \
             capabilities, outgoing-http, limits, config",
        ),
        (
            "[limits]\ncpu-ms = 1\nmemory_mib = 64",
            "plugin.toml, line 8: the key `memory_mib` in [limits] is unknown; `memory-mib` was probably meant",
        ),
        (
            "[limits]\nlicense = \"MIT\"",
            "plugin.toml, line 7: the key `license` in [limits] is unknown; it belongs at the top, before the first [table]",
        ),
        (
            "[limit]\n",
            "plugin.toml, line 6: the key `limit` is unknown; `limits` was probably meant",
        ),
    ] {
        assert_eq!(error(&format!("{LEAST}{added}")), expected);
    }
}

#[test]
fn an_interface_of_another_version_is_not_spoken() {
    let error = error(&LEAST.replace("\"0.1\"", "\"0.2\""));
    assert!(
        error.contains("built for 0.2, this host speaks 0.1"),
        "{error}"
    );
    assert!(error.contains("line 5"), "{error}");
}

#[test]
fn wrong_values_are_shown_where_they_stand() {
    for (from, to, expected) in [
        ("pii-redaction", "PII", "`PII` cannot be a plugin's id"),
        ("0.1.0", "1.0", "`1.0` is no version"),
        (
            "shaper",
            "shapper",
            "unknown variant `shapper`, expected one of `router`",
        ),
        (
            "\"0.1\"",
            "0.1",
            "invalid type: floating point `0.1`, expected a string",
        ),
        ("\"0.1\"", "\"one\"", "`one` is no version of lm:plugin"),
        ("id = \"pii-redaction\"\n", "", "missing field `id`"),
        (
            "wit = \"0.1\"",
            "wit = \"0.1\"\nwit = \"0.1\"",
            "duplicate key",
        ),
        (
            "wit = \"0.1\"",
            "wit = \"0.1\"\ncapabilities = [\"logs\"]",
            "unknown variant `logs`",
        ),
        (
            "wit = \"0.1\"",
            "wit = \"0.1\"\nlimits = 3",
            "invalid type: integer `3`",
        ),
        (
            "wit = \"0.1\"",
            "wit = \"0.1\"\n[limits]\ncpu-ms = 0",
            "expected a nonzero u64",
        ),
        (
            "wit = \"0.1\"",
            "wit = \"0.1\"\n[limits]\nmemory-mib = -1",
            "invalid value",
        ),
        (
            "wit = \"0.1\"",
            "wit = \"0.1\"\n[outgoing-http]\nhosts = [\"*\"]",
            "`*` is no pattern of hosts",
        ),
    ] {
        let error = error(&LEAST.replacen(from, to, 1));
        assert!(error.contains(expected), "{error}");
        assert!(error.starts_with("plugin.toml: "), "{error}");
        assert!(!error.ends_with('\n'), "{error}");
    }
}

#[test]
fn the_model_and_outgoing_requests_are_for_functions() {
    for capability in ["inference", "outgoing-http"] {
        let error = error(&format!("{LEAST}capabilities = [\"{capability}\"]"));
        assert!(error.contains("only functions can be given"), "{error}");
        assert!(
            error.contains(capability) && error.contains("shaper"),
            "{error}"
        );
    }
}

#[test]
fn hosts_and_the_capability_to_reach_them_go_together() {
    let function = LEAST.replace("shaper", "function");
    let asked = format!("{function}capabilities = [\"outgoing-http\"]\n");
    assert!(error(&asked).contains("names no hosts"));
    assert!(error(&format!("{asked}[outgoing-http]\nhosts = []")).contains("names no hosts"));
    let not_asked = format!("{function}[outgoing-http]\nhosts = [\"example.com\"]");
    assert!(error(&not_asked).contains("does not ask for `outgoing-http`"));
}

#[test]
fn a_manifest_beyond_all_measure_is_not_read() {
    let text = format!("{LEAST}description = \"{}\"", "x".repeat(Manifest::MAX_LEN));
    assert!(error(&text).contains("65536 are the most"));
}
