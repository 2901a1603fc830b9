//! `/metrics`: the names that the documentation lists, in both formats, and figures that add up.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Plugins, SHIPPED, Server, Setup, ask};

const OPEN: &str = "application/openmetrics-text;version=1.0.0";

/// What is known of a metric: its type, and its labels but for those that all of its kind have.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    kind: String,
    labels: BTreeSet<String>,
}

/// A server that has answered a chat, a function's visitor, and a client whose request a plugin failed.
async fn busy() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let plugins = Plugins {
        shaper: "hostile-shaper",
        ..SHIPPED
    };
    let server = Server::start(Setup {
        plugins,
        names: &["demo", "trap"],
        data_dir: Some(folder.path().into()),
        ..Setup::default()
    })
    .await;
    server.deploy("hello", "hello", json!({})).await;
    assert_eq!(server.get("/fn/hello/x").await.status(), StatusCode::OK);
    server.assert_serves().await;
    let failed = server.chat(ask("trap", "hello")).await;
    assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
    (folder, server)
}

impl Server {
    async fn metrics_as(&self, accept: &str) -> (String, String) {
        let url = format!("{}/metrics", self.url);
        let request = self.client.get(url).header("accept", accept);
        let response = request.send().await.unwrap();
        let kind = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        (kind, response.text().await.unwrap())
    }
}

/// The metrics that a text in Prometheus' format declares, with the labels of their samples.
fn shown(text: &str) -> BTreeMap<String, Known> {
    let mut known = BTreeMap::new();
    let mut declared = "";
    for line in text.lines() {
        if let Some(declaration) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declaration.split_once(' ').unwrap();
            let new = Known {
                kind: kind.into(),
                labels: BTreeSet::new(),
            };
            assert!(known.insert(name.to_owned(), new).is_none(), "{name} twice");
            declared = name;
        } else if !line.starts_with('#') {
            let (name, rest) = line.split_once('{').unwrap();
            assert!(name.starts_with(declared), "{line} stands under {declared}");
            let (labels, _) = rest.rsplit_once('}').unwrap();
            let names: BTreeSet<String> = labels
                .split("\",")
                .map(|label| label.split_once('=').unwrap().0.to_owned())
                .collect();
            let of_all: &[&str] = match name.starts_with("vllm:") {
                true => &["model_name", "engine"],
                false => &["model_name"],
            };
            assert!(of_all.iter().all(|label| names.contains(*label)), "{line}");
            let own = names
                .into_iter()
                .filter(|label| !of_all.contains(&&**label) && label != "le");
            known.get_mut(declared).unwrap().labels.extend(own);
        }
    }
    known
}

/// The rows of the tables in the documentation: name, type, labels.
fn listed() -> BTreeMap<String, Known> {
    let text = include_str!("../../../docs/observability.md");
    let (tables, _) = text
        .split_once("\n## Traces")
        .expect("traces come after metrics");
    let rows = tables.lines().filter_map(|line| line.strip_prefix("| `"));
    let words = |cell: &str| -> BTreeSet<String> {
        cell.split(['`', ',', ' '])
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let known = Known {
            kind: cells[1].into(),
            labels: words(cells[2]),
        };
        (cells[0].trim_end_matches('`').to_owned(), known)
    })
    .collect()
}

#[tokio::test]
async fn the_documentation_lists_every_metric_with_its_type_and_labels_and_no_other() {
    let (_folder, server) = busy().await;
    let (kind, text) = server.metrics_as("text/plain;version=0.0.4").await;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let (shown, listed) = (shown(&text), listed());
    let names = |of: &BTreeMap<String, Known>| of.keys().cloned().collect::<BTreeSet<_>>();
    let (shown_names, listed_names) = (names(&shown), names(&listed));
    let unlisted: Vec<_> = shown_names.difference(&listed_names).collect();
    let missing: Vec<_> = listed_names.difference(&shown_names).collect();
    assert!(
        unlisted.is_empty(),
        "not in the documentation: {unlisted:?}"
    );
    assert!(missing.is_empty(), "not shown: {missing:?}");
    for (name, known) in &shown {
        assert_eq!(known, &listed[name], "{name}: shown, then listed");
    }
}

#[tokio::test]
async fn both_formats_have_the_same_samples() {
    let (_folder, server) = busy().await;
    let (open_kind, open) = server.metrics_as(OPEN).await;
    let (_, old) = server.metrics_as("*/*").await;
    assert!(open_kind.starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(open.ends_with("# EOF\n"));
    let names = |text: &str| -> Vec<String> {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let name = |line: &str| line.rsplit_once(' ').unwrap().0.to_owned();
        let mut names: Vec<String> = samples.map(name).collect();
        names.sort();
        names
    };
    assert_eq!(names(&open), names(&old));
    assert!(
        open.contains("# TYPE vllm:prompt_tokens counter\n"),
        "{open}"
    );
    assert!(
        old.contains("# TYPE vllm:prompt_tokens_total counter\n"),
        "{old}"
    );
}

#[tokio::test]
async fn every_choice_that_ends_is_timed_once_and_its_tokens_add_up() {
    let server = Server::start(Setup::default()).await;
    for (n, max_tokens) in [(1, 1), (3, 8)] {
        let mut request = ask("demo", "a story");
        request["n"] = json!(n);
        request["max_tokens"] = json!(max_tokens);
        request["ignore_eos"] = json!(true);
        assert_eq!(server.chat(request).await.status(), StatusCode::OK);
    }
    let text = server.metrics().await;
    let value = |sample: &str| -> f64 {
        let of_sample = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next()? == sample).then(|| value.parse::<f64>().unwrap())
        });
        of_sample.sum()
    };
    assert_eq!(value("vllm:request_success_total"), 4.0);
    for each in [
        "time_to_first_token_seconds",
        "e2e_request_latency_seconds",
        "request_queue_time_seconds",
        "request_prefill_time_seconds",
        "request_decode_time_seconds",
        "request_inference_time_seconds",
        "request_prompt_tokens",
        "request_generation_tokens",
        "request_prefill_kv_computed_tokens",
    ] {
        assert_eq!(value(&format!("vllm:{each}_count")), 4.0, "{each}");
    }
    // An answer of one token has no time between tokens.
    assert_eq!(
        value("vllm:request_time_per_output_token_seconds_count"),
        3.0
    );
    let answers = 1.0 + 3.0 * 8.0;
    assert_eq!(value("vllm:generation_tokens_total"), answers);
    assert_eq!(value("vllm:request_generation_tokens_sum"), answers);
    assert_eq!(value("vllm:request_max_num_generation_tokens_sum"), 9.0);
    assert_eq!(value("vllm:request_params_n_sum"), 4.0);
    assert_eq!(value("vllm:request_params_max_tokens_sum"), 9.0);
    let prompts = value("vllm:prompt_tokens_total");
    assert_eq!(value("vllm:prompt_tokens_by_source_total"), prompts);
    let stats = server.engine.stats();
    assert_eq!(
        value("vllm:iteration_tokens_total_count"),
        stats.steps as f64
    );
    let computed = stats.computed_tokens as f64;
    assert_eq!(value("vllm:iteration_tokens_total_sum"), computed);
    let phases = value("vllm:request_prefill_time_seconds_sum")
        + value("vllm:request_decode_time_seconds_sum");
    let inference = value("vllm:request_inference_time_seconds_sum");
    assert!(
        (phases - inference).abs() < 1e-6,
        "{phases} and {inference}: sums of the same times"
    );
}
