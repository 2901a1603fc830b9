//! `host plugin` as an author uses it: from a new project to a tested component, with the real cargo and the real sandbox.

mod host;
mod refusals;

use std::fs;

use host::{Project, text};
use serde_json::Value;

/// What every role comes to: a project whose tests pass, that builds, is what it says, and stands its cases and the torture.
fn a_new_project_is_whole(role: &str) {
    let project = Project::new(role, &format!("new-{role}"));
    let tested = project.cargo(&["test", "--quiet"]);
    assert!(tested.status.success(), "{}", text(&tested));

    let built: Value = project.json(&["plugin", "build", "--json"]);
    assert_eq!(built["role"], role);
    assert_eq!(built["manifest"]["id"], format!("new-{role}"));

    let component = project.component();
    let inspected: Value = project.json(&["plugin", "inspect", &component, "--json"]);
    assert_eq!(inspected["digest"], built["digest"]);
    assert_eq!(
        inspected["capabilities"],
        inspected["manifest"]["capabilities"]
    );
    let wit = project.succeeds(&["plugin", "inspect", &component, "--wit"]);
    assert!(wit.contains("export "), "{wit}");

    let report: Value = project.json(&["plugin", "test", "--json", "--repeat", "3"]);
    assert_eq!(report["failed"], 0, "{report:#}");
    let results = report["results"].as_array().unwrap();
    for kind in ["cases/", "torture/"] {
        let of_kind = |result: &&Value| result["name"].as_str().unwrap().starts_with(kind);
        assert!(results.iter().filter(of_kind).count() >= 2, "{report:#}");
    }
    assert!(report["peak_memory_bytes"].as_u64().unwrap() >= 64 << 10);
    assert!(!report["phases"].as_array().unwrap().is_empty());
}

#[test]
fn a_new_router_builds_and_passes_its_tests() {
    a_new_project_is_whole("router");
}

#[test]
fn a_new_chat_template_builds_and_passes_its_tests() {
    a_new_project_is_whole("chat-template");
}

#[test]
fn a_new_function_builds_and_passes_its_tests() {
    a_new_project_is_whole("function");
}

#[test]
fn a_new_shaper_builds_and_passes_its_tests() {
    a_new_project_is_whole("shaper");
}

#[test]
fn a_case_that_comes_to_something_else_fails_and_shows_the_difference_until_it_is_blessed() {
    let project = Project::new("shaper", "blessed");
    project.succeeds(&["plugin", "build"]);
    let expected = project.path("cases/too-many-samples/expected.json");
    let right = fs::read_to_string(&expected).unwrap();
    fs::write(&expected, right.replace("400", "418")).unwrap();
    let test = ["plugin", "test", "--only", "cases/", "--repeat", "1"];

    let failed = project.host(&test);
    assert_eq!(failed.status.code(), Some(1));
    let shown = text(&failed);
    for part in [
        "FAIL  cases/too-many-samples",
        "\"status\": 418",
        "\"status\": 400",
        "its log:",
        "again: host plugin test ./blessed.wasm --only cases/too-many-samples",
        "1 of 2 failed",
    ] {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }

    let blessed = project.succeeds(&["plugin", "test", "--bless", "--only", "cases/"]);
    assert!(blessed.contains("refused with 400; blessed"), "{blessed}");
    assert_eq!(fs::read_to_string(&expected).unwrap(), right);
    project.succeeds(&test);
}

#[test]
fn settings_that_a_schema_forbids_are_refused_before_any_case_runs() {
    let project = Project::new("shaper", "settled");
    project.succeeds(&["plugin", "build"]);
    let said = project.fails(&["plugin", "test", "--config", r#"{"max_samples": 0}"#]);
    assert!(said.contains("max_samples"), "{said}");
    let said = project.fails(&["plugin", "test", "--config", r#"{"max_samples": 1}"#]);
    assert!(said.contains("FAIL  cases/few-samples"), "{said}");
    let said = project.fails(&["plugin", "test", "--grant", "log"]);
    assert!(said.contains("config"), "{said}");
}

#[test]
fn a_plugin_that_panics_fails_with_its_phase_and_where_in_the_guest() {
    let project = Project::new("shaper", "panics");
    let source = project.path("src/lib.rs");
    let sound = fs::read_to_string(&source).unwrap();
    let panics = sound.replace(
        "let Settings { max_samples }",
        "assert!(!request.model.is_empty());\n        let Settings { max_samples }",
    );
    assert_ne!(panics, sound);
    fs::write(&source, panics).unwrap();
    project.succeeds(&["plugin", "build"]);
    let said = project.fails(&["plugin", "test", "--repeat", "1"]);
    for part in [
        "FAIL  torture/empty",
        "plugin `panics` failed in `shape`: it trapped",
        "in the guest:",
        "again: host plugin test ./panics.wasm --only torture/empty",
    ] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
}

#[test]
fn the_wit_packages_are_written_where_compilers_look_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let deps = folder.path().join("wit/deps");
    let host = host::host(folder.path(), &["plugin", "wit", "wit/deps"]);
    assert!(host.status.success(), "{}", text(&host));
    for file in [
        "lm-plugin/types.wit",
        "wasi-http-0.2.12.wit",
        "wasi-http-0.3.0.wit",
    ] {
        assert!(deps.join(file).is_file(), "{file}");
    }
}
