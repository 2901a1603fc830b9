//! What the operator can set.

use plugin_sdk::{FinishReason, mock};

use crate::support::*;

fn reasons(path: &str, body: String) -> Vec<String> {
    let (_, answer) = accept(path, body);
    let text = run(
        answer,
        vec![vec![content(0, "a", 1), finished(0, FinishReason::Stop)]],
        usage(1),
    );
    let data = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]");
    let chunks = data.map(|data| serde_json::from_str::<serde_json::Value>(data).unwrap());
    chunks
        .map(|chunk| chunk["choices"][0]["finish_reason"].to_string())
        .collect()
}

#[test]
fn by_default_chat_is_separate_and_completions_are_merged() {
    assert_eq!(
        reasons(CHAT, chat(r#""stream":true"#)),
        ["null", "null", r#""stop""#]
    );
    assert_eq!(
        reasons(COMPLETIONS, completion(r#""stream":true"#)),
        [r#""stop""#]
    );
}

#[test]
fn finish_merged_merges_both() {
    mock::set_config(r#"{"finish":"merged"}"#);
    assert_eq!(
        reasons(CHAT, chat(r#""stream":true"#)),
        ["null", r#""stop""#]
    );
    assert_eq!(
        reasons(COMPLETIONS, completion(r#""stream":true"#)),
        [r#""stop""#]
    );
}

#[test]
fn finish_separate_separates_both() {
    mock::set_config(r#"{"finish":"separate"}"#);
    assert_eq!(
        reasons(CHAT, chat(r#""stream":true"#)),
        ["null", "null", r#""stop""#]
    );
    assert_eq!(
        reasons(COMPLETIONS, completion(r#""stream":true"#)),
        ["null", r#""stop""#]
    );
}

#[test]
fn a_wrong_setting_is_the_servers_fault_and_is_named() {
    mock::set_config(r#"{"finish":"never"}"#);
    let response = respond("POST", CHAT, chat(""));
    assert_eq!(response.status, 500);
    assert!(
        String::from_utf8(response.body)
            .unwrap()
            .contains("`finish`")
    );
}
