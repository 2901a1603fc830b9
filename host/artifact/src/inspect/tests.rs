use super::*;
use crate::{embed, samples};

fn manifest(role: &str, rest: &str) -> String {
    format!("id = \"x\"\nversion = \"0.1.0\"\nwit = \"0.1\"\nrole = \"{role}\"\n{rest}")
}

fn error(wasm: &[u8]) -> String {
    inspect(wasm).unwrap_err().to_string()
}

#[test]
fn the_components_that_come_with_the_host_are_what_they_are() {
    use Capability::{Config, Log};
    for (name, role, asked) in [
        ("openai-router.wasm", Role::Router, vec![Config]),
        ("request-shaper.wasm", Role::Shaper, vec![Config, Log]),
        ("chat-template.wasm", Role::ChatTemplate, vec![]),
    ] {
        let wasm = samples::shipped(name);
        let inspection = inspect(&wasm).unwrap();
        assert_eq!(inspection.role, role, "{name}");
        assert_eq!(inspection.asked, asked.into_iter().collect(), "{name}");
        assert_eq!(inspection.wit_versions, [Version::new(0, 1, 0)].into());
        assert_eq!(inspection.digest, Digest::of(&wasm));
        assert_eq!(inspection.size, wasm.len() as u64);
        assert_eq!(inspection.check_manifest(), Ok(()));
    }
}

#[test]
fn imports_and_exports_are_named_in_their_order() {
    let imports = ["lm:plugin/log@0.1.0", "lm:plugin/clock@0.1.3"];
    let exports = ["lm:plugin/shaping@0.1.0", "my:own/thing"];
    let inspection = inspect(&samples::component(&imports, &exports)).unwrap();
    assert_eq!(inspection.imports, imports);
    assert_eq!(inspection.exports, exports);
    let versions = [Version::new(0, 1, 0), Version::new(0, 1, 3)];
    assert_eq!(inspection.wit_versions, versions.into());
}

#[test]
fn a_function_is_known_by_the_handler_of_either_version() {
    for export in [
        "wasi:http/incoming-handler@0.2.3",
        "wasi:http/handler@0.3.0",
    ] {
        let inspection = inspect(&samples::component(&[], &[export])).unwrap();
        assert_eq!(inspection.role, Role::Function);
        assert!(inspection.wit_versions.is_empty());
    }
}

#[test]
fn each_import_needs_its_capability() {
    use Capability::*;
    for (import, need) in [
        ("lm:plugin/types@0.1.0", None),
        ("lm:plugin/log@0.1.0", Some(Log)),
        ("lm:plugin/config@0.1.0", Some(Config)),
        ("lm:plugin/clock@0.1.0", Some(Clock)),
        ("lm:plugin/random@0.1.0", Some(Random)),
        ("lm:plugin/key-value@0.1.0", Some(KeyValue)),
        ("lm:plugin/inference@0.1.0", Some(Inference)),
        ("wasi:http/types@0.2.3", None),
        ("wasi:http/outgoing-handler@0.2.3", Some(OutgoingHttp)),
        ("wasi:http/client@0.3.0", Some(OutgoingHttp)),
        ("wasi:clocks/monotonic-clock@0.2.3", Some(Clock)),
        ("wasi:random/insecure-seed@0.2.3", Some(Random)),
        ("wasi:cli/stdout@0.2.3", Some(Log)),
        ("wasi:cli/stderr@0.3.0", Some(Log)),
        ("wasi:cli/environment@0.2.3", None),
        ("wasi:io/streams@0.2.3", None),
    ] {
        let wasm = samples::component(&[import], &["wasi:http/incoming-handler@0.2.3"]);
        let asked = inspect(&wasm).unwrap().asked;
        assert_eq!(asked, need.into_iter().collect(), "{import}");
    }
}

#[test]
fn another_version_of_the_wit_package_is_named() {
    for (imports, exports, expected) in [
        (
            vec![],
            vec!["lm:plugin/shaping@0.2.0"],
            "it was built for lm:plugin 0.2, this host speaks 0.1",
        ),
        (
            vec!["lm:plugin/log@1.0.0"],
            vec!["lm:plugin/shaping@0.1.0"],
            "it was built for lm:plugin 1.0, this host speaks 0.1",
        ),
        (
            vec![],
            vec!["lm:plugin/shaping"],
            "it was built for lm:plugin without a version",
        ),
    ] {
        let error = error(&samples::component(&imports, &exports));
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_component_has_one_role() {
    let none = error(&samples::component(
        &[],
        &["wasi:http/handler@0.2.0", "a:b/routing"],
    ));
    assert!(none.contains("it exports neither `routing` nor"), "{none}");
    let none = error(&samples::component(&["lm:plugin/routing@0.1.0"], &[]));
    assert!(none.contains("it exports neither `routing` nor"), "{none}");
    for two in [
        ["lm:plugin/routing@0.1.0", "lm:plugin/shaping@0.1.0"],
        [
            "wasi:http/handler@0.3.0",
            "wasi:http/incoming-handler@0.2.3",
        ],
    ] {
        let error = error(&samples::component(&[], &two));
        let named = format!("it exports `{}` and `{}`", two[0], two[1]);
        assert!(error.contains(&named), "{error}");
    }
}

#[test]
fn what_is_no_component_is_refused_in_words() {
    let wasm = samples::shipped("request-shaper.wasm");
    let module = samples::core_module("shaper");
    let mut damaged = wasm.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    for (bytes, expected) in [
        (b"" as &[u8], "it is empty"),
        (b"#!/bin/sh", "it is not WebAssembly"),
        (b"(component)", "text format"),
        (&module, "wrap it with `host plugin build`"),
        (&wasm[..6], "it is truncated"),
        (&wasm[..wasm.len() - 10], "it is truncated"),
        (&damaged, "it is damaged at byte"),
    ] {
        let error = error(bytes);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn no_damage_of_a_byte_or_a_cut_makes_it_panic() {
    let wasm = samples::shipped("request-shaper.wasm");
    let step = wasm.len() / 150;
    for at in (0..wasm.len()).step_by(step) {
        let mut flipped = wasm.clone();
        flipped[at] ^= 0x55;
        let _ = inspect(&flipped);
        assert!(inspect(&wasm[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_wrong_manifest_is_an_error_of_its_component() {
    let wasm = samples::component(&[], &["lm:plugin/shaping@0.1.0"]);
    let mut with = embed(&manifest("shaper", ""), &wasm).unwrap();
    let at = with
        .windows(6)
        .rposition(|bytes| bytes == b"shaper")
        .unwrap();
    with[at..at + 6].copy_from_slice(b"sheper");
    assert!(error(&with).contains("unknown variant `sheper`"));
}

#[test]
fn a_manifest_that_asks_for_all_that_is_imported_fits() {
    let wasm = samples::component(
        &[
            "lm:plugin/log@0.1.0",
            "wasi:io/streams@0.2.3",
            "wasi:cli/stderr@0.2.3",
        ],
        &["wasi:http/incoming-handler@0.2.3"],
    );
    let text = manifest("function", "capabilities = [\"log\", \"inference\"]");
    let inspection = inspect(&embed(&text, &wasm).unwrap()).unwrap();
    assert_eq!(inspection.manifest, Manifest::parse(&text).ok());
    assert_eq!(inspection.check_manifest(), Ok(()));
}

#[test]
fn each_import_that_the_manifest_does_not_ask_for_is_named() {
    let wasm = samples::component(
        &[
            "lm:plugin/log@0.1.0",
            "lm:plugin/clock@0.1.0",
            "wasi:clocks/wall-clock@0.2.3",
        ],
        &["lm:plugin/shaping@0.1.0"],
    );
    let with = embed(&manifest("shaper", "capabilities = [\"log\"]"), &wasm).unwrap();
    let error = inspect(&with)
        .unwrap()
        .check_manifest()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`lm:plugin/clock@0.1.0` needs `clock`"),
        "{error}"
    );
    assert!(
        error.contains("`wasi:clocks/wall-clock@0.2.3` needs `clock`"),
        "{error}"
    );
    assert!(!error.contains("lm:plugin/log"), "{error}");
}

#[test]
fn a_manifest_of_another_role_contradicts_its_component() {
    let wasm = samples::component(&[], &["lm:plugin/shaping@0.1.0"]);
    let with = embed(&manifest("router", ""), &wasm).unwrap();
    let error = inspect(&with)
        .unwrap()
        .check_manifest()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("says that it is a router, and by its exports it is a shaper"),
        "{error}"
    );
}

#[test]
fn the_wit_of_a_component_can_be_read() {
    let text = wit_text(&samples::shipped("request-shaper.wasm")).unwrap();
    for line in [
        "import lm:plugin/log@0.1.0;",
        "export lm:plugin/shaping@0.1.0;",
        "package lm:plugin@0.1.0 {",
        "interface shaping {",
        "shape: func(",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(
        wit_text(b"")
            .unwrap_err()
            .to_string()
            .contains("it is empty")
    );
}
